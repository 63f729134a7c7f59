// The lines of a file as its bytes arrive: numbered as an editor does, blank ones passed over, those
// that are too long named without being held. Pure: pieces go in.

/** A line that holds something; `bytes` is undefined when it is too long. */
export interface Line {
  readonly number: number;
  readonly bytes: Uint8Array | undefined;
}

/** Room for the longest value with every byte escaped, and its key. */
export const LINE_BYTES_MAX = 8 << 20;

export class Lines {
  #number = 1;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  readonly #most: number;

  constructor(most = LINE_BYTES_MAX) {
    this.#most = most;
  }

  /** Takes a piece and gives the lines that end in it. */
  *push(piece: Uint8Array): Generator<Line, void, undefined> {
    let start = 0;
    for (let end = piece.indexOf(10); end >= 0; end = piece.indexOf(10, start)) {
      this.#hold(piece.subarray(start, end));
      yield* this.#take();
      start = end + 1;
    }
    this.#hold(piece.subarray(start));
  }

  /** The last line, if no line end follows it. */
  end(): Generator<Line, void, undefined> {
    return this.#take();
  }

  #hold(part: Uint8Array): void {
    this.#heldBytes += part.length;
    if (this.#heldBytes > this.#most) this.#held = [];
    else if (part.length > 0) this.#held.push(part.slice());
  }

  *#take(): Generator<Line, void, undefined> {
    const number = this.#number++;
    const [held, length] = [this.#held, this.#heldBytes];
    this.#held = [];
    this.#heldBytes = 0;
    if (length > this.#most) {
      yield { number, bytes: undefined };
      return;
    }
    const bytes = held.length === 1 ? held[0]! : joined(held, length);
    const content = trimmed(number === 1 ? withoutMark(bytes) : bytes);
    if (content.length > 0) yield { number, bytes: content };
  }
}

function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Without the mark that some editors put before UTF-8. */
function withoutMark(bytes: Uint8Array): Uint8Array {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
}

function trimmed(bytes: Uint8Array): Uint8Array {
  const blank = (at: number) => [9, 10, 12, 13, 32].includes(bytes[at] ?? -1);
  let [start, end] = [0, bytes.length];
  while (start < end && blank(start)) start++;
  while (end > start && blank(end - 1)) end--;
  return bytes.subarray(start, end);
}
