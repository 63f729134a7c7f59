// Reads the `.lzma` file that the default entry bears: the module, a tenth smaller than gzip makes it.
// The format and its names are those of the LZMA specification (Igor Pavlov, 2015). The file is the
// build's own, so what it cannot be is not looked for.

const HEADER_BYTES = 13;
/** The build packs with `lc=3`, `lp=0`, `pb=0`: a literal depends on the upper bits of the byte before it. */
const LITERAL_CONTEXTS = 8;
const SLOT_BITS = 6;
const ALIGN_BITS = 4;
/** Farther distances have bits of even odds. */
const FAR_SLOT = 14;

// Where in one array the probabilities of each decision begin.
const STATES = 12;
const IS_MATCH = 0;
const IS_REP = IS_MATCH + STATES;
const IS_REP_0 = IS_REP + STATES;
const IS_REP_1 = IS_REP_0 + STATES;
const IS_REP_2 = IS_REP_1 + STATES;
const IS_REP_0_LONG = IS_REP_2 + STATES;
const LENGTH = IS_REP_0_LONG + STATES;
const LENGTH_HIGH = 18;
const REP_LENGTH = LENGTH + LENGTH_HIGH + 256;
const SLOT = REP_LENGTH + LENGTH_HIGH + 256;
const NEAR = SLOT + (4 << SLOT_BITS);
const ALIGN = NEAR + 128;
const LITERAL = ALIGN + (1 << ALIGN_BITS);
const PROBABILITIES = LITERAL + 0x300 * LITERAL_CONTEXTS;

/** The bytes that were packed. */
export function unpack(packed: Uint8Array): Uint8Array<ArrayBuffer> {
  const header = new DataView(packed.buffer, packed.byteOffset);
  const bytes = new Uint8Array(header.getUint32(5, true));
  const probabilities = new Uint16Array(PROBABILITIES).fill(1024);
  // The range, and the code within it: typed, since they take all 32 bits.
  const coder = Uint32Array.of(-1, header.getUint32(HEADER_BYTES + 1));
  let next = HEADER_BYTES + 5;

  const split = (bound: number) => {
    const bit = coder[1]! < bound ? 0 : 1;
    coder[0] = bit ? coder[0]! - bound : bound;
    if (bit) coder[1]! -= bound;
    if (coder[0]! < 1 << 24) {
      coder[0]! <<= 8;
      coder[1] = (coder[1]! << 8) | packed[next++]!;
    }
    return bit;
  };
  const decide = (what: number) => {
    const odds = probabilities[what]!;
    const bit = split((coder[0]! >>> 11) * odds);
    probabilities[what] = odds + (bit ? -(odds >> 5) : (2048 - odds) >> 5);
    return bit;
  };
  const tree = (first: number, bits: number, node = 1) => {
    while (node < 1 << bits) node = node * 2 + decide(first + node);
    return node - (1 << bits);
  };
  const reverseTree = (first: number, bits: number) => {
    let sum = 0;
    for (let bit = 0, node = 1; bit < bits; bit++) {
      const found = decide(first + node);
      node = node * 2 + found;
      sum += found << bit;
    }
    return sum;
  };
  const readLength = (first: number) => {
    if (!decide(first)) return 2 + tree(first + 2, 3);
    if (!decide(first + 1)) return 10 + tree(first + 10, 3);
    return 18 + tree(first + LENGTH_HIGH, 8);
  };
  const readDistance = (length: number) => {
    const slot = tree(SLOT + ((Math.min(length, 5) - 2) << SLOT_BITS), SLOT_BITS);
    if (slot < 4) return slot;
    let bits = (slot >> 1) - 1;
    let sum = (2 | (slot & 1)) << bits;
    if (slot < FAR_SLOT) return sum + reverseTree(NEAR + sum - slot, bits);
    while (bits > ALIGN_BITS) {
      coder[0]! &= ~1;
      sum += split(coder[0]! / 2) << --bits;
    }
    return sum + reverseTree(ALIGN, bits);
  };

  /** What the last steps were: 0 to 6 behind a literal. */
  let state = 0;
  /** Of the last matches, the newest first; 0 is the byte before. */
  const distances = [0, 0, 0, 0];
  for (let at = 0; at < bytes.length; ) {
    const matched = state > 6;
    if (!decide(IS_MATCH + state)) {
      const first = LITERAL + 0x300 * (bytes[at - 1]! >> 5);
      let node = 1;
      // Behind a match, as long as it is the byte that would have gone on with the match, by its bits.
      for (let like = matched ? bytes[at - 1 - distances[0]!]! : -1; like >= 0 && node < 256; ) {
        const bit = (like >> 7) & 1;
        node = node * 2 + decide(first + 256 + 256 * bit + node);
        like = (node & 1) === bit ? like * 2 : -1;
      }
      bytes[at++] = tree(first, 8, node);
      state -= state < 4 ? state : state < 10 ? 3 : 6;
      continue;
    }
    let length = 1;
    if (decide(IS_REP + state)) {
      let which = 0;
      let long = 1;
      if (!decide(IS_REP_0 + state)) long = decide(IS_REP_0_LONG + state);
      else which = decide(IS_REP_1 + state) ? 2 + decide(IS_REP_2 + state) : 1;
      distances.unshift(...distances.splice(which, 1));
      if (long) length = readLength(REP_LENGTH);
      state = matched ? 11 : 9 - long;
    } else {
      length = readLength(LENGTH);
      distances.unshift(readDistance(length));
      distances.pop();
      state = matched ? 10 : 7;
    }
    for (const end = at + length; at < end; at++) bytes[at] = bytes[at - 1 - distances[0]!]!;
  }
  return bytes;
}
