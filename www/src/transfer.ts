// Files in and out of the store, and prefixes away: in bounded steps that can be stopped between any two,
// each with a word on how far it is. Knows the package's public surface and no element.

import type { Client, Entry, Range } from "tidekeep";

import { BATCH_WRITES, Batches, conditionOf, RECORDS_MAX, Survey } from "./model/importing.js";
import type { Verdict, Wanted } from "./model/importing.js";
import { Lines } from "./model/lines.js";
import { BadRecord, formatRecord, parseRecord } from "./model/record.js";
import type { ImportRecord } from "./model/record.js";

/** How far it is: `of` is undefined where that is not known. */
export type Tell = (done: number, of: number | undefined) => void;

const EXPORT_PAGE = 1000;
/** Keys of a dry run that are looked at at once. */
const LOOKS_UNDER_WAY = 256;
const DELETE_STEP = 1000;
/** Transactions of an import that are on their way at once. */
const WRITES_UNDER_WAY = 4;

/** A line of a file: a record, or why it is none. `end` is how many bytes of the file end with it. */
type Read = { number: number; end: number; record?: ImportRecord; why?: string };

/** Writes a range as JSON lines, page by page. */
export async function exportLines(client: Client, range: Range, signal: AbortSignal, tell: Tell): Promise<Blob> {
  const total = await client.count(range, { signal });
  const pages = client.scan(range, { pageSize: EXPORT_PAGE, signal });
  const pieces: Blob[] = [];
  let done = 0;
  for (let after: Uint8Array | undefined, more = true; more; more = after !== undefined) {
    signal.throwIfAborted();
    const page = await pages.page(after);
    // The browser may put a piece on its disk.
    pieces.push(new Blob(page.items.map(formatRecord)));
    done += page.items.length;
    after = page.after;
    tell(done, Math.max(total, done));
  }
  return new Blob(pieces, { type: "application/jsonl" });
}

/** Says what a file would do, and does nothing. */
export async function dryRun(client: Client, file: Blob, signal: AbortSignal, tell: Tell): Promise<Survey> {
  const survey = new Survey();
  const asked: { line: Read; reply: Promise<Entry | undefined> | undefined }[] = [];
  /** Judges the line that was asked about first: what a file says last of a key counts. */
  const judge = async () => {
    const { line, reply } = asked.shift()!;
    const { number, end, record, why = "" } = line;
    if (record) survey.add(number, record, await reply, client.serverTime());
    else survey.problem(number, why);
    tell(end, file.size);
  };
  for await (const line of readLines(file, signal)) {
    const reply = line.record && client.get(line.record.key);
    // A failure is heard of when its line is judged.
    reply?.catch(() => {});
    asked.push({ line, reply });
    if (asked.length >= LOOKS_UNDER_WAY) await judge();
    if (survey.records > RECORDS_MAX) {
      throw new RangeError(`more than ${RECORDS_MAX} records: load such a file by \`tidekeep import FILE\``);
    }
  }
  while (asked.length > 0) await judge();
  return survey;
}

/** What an import has done. */
export interface Done {
  written: number;
  /** Lines whose key is no longer as it was in the dry run: they were left alone. */
  left: number[];
  /** How many those are, listed or not. */
  leftCount: number;
}

const LEFT_LISTED = 100;

/** Writes what was chosen of a file, as far as keys are as the dry run saw them. `done` grows meanwhile. */
export async function applyImport(
  client: Client,
  file: Blob,
  survey: Survey,
  chosen: ReadonlySet<Verdict>,
  signal: AbortSignal,
  tell: Tell,
  done: Done,
): Promise<void> {
  const parts = client.server?.limits.txnOperations ?? 2 * BATCH_WRITES;
  const batches = new Batches(Math.max(1, Math.min(BATCH_WRITES, Math.floor(parts / 2))));
  const writes: Promise<void>[] = [];
  const begin = async (batch: readonly Wanted[]) => {
    const written = write(client, batch, done);
    // A failure is heard of when it is waited for.
    written.catch(() => {});
    if (writes.push(written) >= WRITES_UNDER_WAY) await writes.shift();
  };
  let place = 0;
  try {
    for await (const { number, end, record } of readLines(file, signal)) {
      if (!record) continue;
      const verdict = survey.verdict(place);
      const seen = survey.seen(place++);
      if (verdict === undefined || !chosen.has(verdict)) continue;
      const full = batches.add({ line: number, record, seen });
      if (!full) continue;
      await begin(full);
      tell(end, file.size);
      signal.throwIfAborted();
    }
    await begin(batches.take());
    await Promise.all(writes);
  } finally {
    // What is on its way is counted, however this ends.
    await Promise.allSettled(writes);
  }
  tell(file.size, file.size);
}

/** Removes what begins with a prefix, a bounded step after the other; gives how many keys went. */
export async function removeRange(client: Client, range: Range, signal: AbortSignal, tell: Tell): Promise<number> {
  const total = await client.count(range, { signal });
  for (let deleted = 0; ; ) {
    signal.throwIfAborted();
    const { results } = await client.txn().then({ op: "deleteRange", range, limit: DELETE_STEP }).commit();
    const [step] = results;
    if (step?.op !== "deleteRange") return deleted;
    deleted += step.deleted;
    tell(deleted, Math.max(total, deleted));
    if (!step.more) return deleted;
  }
}

/** All of a batch at once; one by one if something in it is no longer as it was. */
async function write(client: Client, batch: readonly Wanted[], done: Done): Promise<void> {
  if (batch.length === 0) return;
  const txn = client.txn();
  for (const wanted of batch) {
    const { key, value, expiresAt } = wanted.record;
    txn.when(key, conditionOf(wanted)).then({ op: "put", key, value, expiresAt });
  }
  const { succeeded } = await txn.commit();
  if (succeeded) {
    done.written += batch.length;
    return;
  }
  await Promise.all(batch.map((wanted) => writeOne(client, wanted, done)));
}

async function writeOne(client: Client, wanted: Wanted, done: Done): Promise<void> {
  const { key, value, expiresAt } = wanted.record;
  try {
    await client.put(key, value, { ...conditionOf(wanted), expiresAt });
    done.written += 1;
  } catch (error) {
    if ((error as { code?: string }).code !== "conflict") throw error;
    done.leftCount += 1;
    if (done.left.length < LEFT_LISTED) done.left.push(wanted.line);
  }
}

async function* readLines(file: Blob, signal: AbortSignal): AsyncGenerator<Read, void, undefined> {
  const lines = new Lines();
  let end = 0;
  const reader = file.stream().getReader();
  try {
    for (;;) {
      signal.throwIfAborted();
      const { done, value } = await reader.read();
      if (done) break;
      end += value.length;
      for (const { number, bytes } of lines.push(value)) yield readLine(number, bytes, end);
    }
    for (const { number, bytes } of lines.end()) yield readLine(number, bytes, end);
  } finally {
    reader.cancel().catch(() => {});
  }
}

function readLine(number: number, bytes: Uint8Array | undefined, end: number): Read {
  try {
    if (!bytes) throw new BadRecord("the line is too long");
    return { number, end, record: parseRecord(bytes) };
  } catch (error) {
    if (!(error instanceof BadRecord)) throw error;
    return { number, end, why: error.message };
  }
}
