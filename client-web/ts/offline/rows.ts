// Rows as the core gives and takes them, many in one batch (docs/design-client.md):
//
//   row   id u64 LE · length u32 LE · content; length 0 removes the row

/** A row. Without content, one that is removed. */
export interface Row {
  /** Below 2^53. */
  id: number;
  content: Uint8Array | undefined;
}

const HEAD_BYTES = 12;

/** The rows of a batch, with contents of their own. */
export function readRows(batch: Uint8Array): Row[] {
  const view = new DataView(batch.buffer, batch.byteOffset, batch.byteLength);
  const rows: Row[] = [];
  for (let at = 0; at < batch.length; ) {
    const id = Number(view.getBigUint64(at, true));
    const length = view.getUint32(at + 8, true);
    at += HEAD_BYTES;
    rows.push({ id, content: length ? batch.slice(at, at + length) : undefined });
    at += length;
  }
  return rows;
}

/** A batch of these rows. */
export function writeRows(rows: Row[]): Uint8Array {
  const length = rows.reduce((sum, { content }) => sum + HEAD_BYTES + (content?.length ?? 0), 0);
  const batch = new Uint8Array(length);
  const view = new DataView(batch.buffer);
  let at = 0;
  for (const { id, content } of rows) {
    view.setBigUint64(at, BigInt(id), true);
    view.setUint32(at + 8, content?.length ?? 0, true);
    at += HEAD_BYTES;
    if (content) batch.set(content, at);
    at += content?.length ?? 0;
  }
  return batch;
}
