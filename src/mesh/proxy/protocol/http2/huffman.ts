/**
 * The Huffman code of HPACK (RFC 7541 5.2 and appendix B). The code is canonical, so the lengths are all of it: codes of
 * one length are consecutive in symbol order.
 */

/** Bits per symbol, 0 to 255 and EOS. */
const LENGTHS = Uint8Array.from(
  `13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28 28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28
   6 10 10 12 13 6 8 11 10 10 8 11 8 6 6 6 5 5 5 6 6 6 6 6 6 6 7 8 15 6 12 10
   13 6 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 8 7 8 13 19 13 14 6
   15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5 6 7 6 5 5 6 7 7 7 7 7 15 11 14 13 28
   20 22 20 20 22 22 22 23 22 23 23 23 23 23 24 23 24 24 22 23 24 23 23 23 23 21 22 23 22 23 23 24
   22 21 20 22 22 23 23 21 23 22 22 24 21 22 23 23 21 21 22 21 23 22 23 23 20 22 22 22 23 22 22 23
   26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25 19 21 26 27 27 26 27 24 21 21 26 26 28 27 27 27
   20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23 26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26
   30`
    .trim()
    .split(/\s+/)
    .map(Number),
);
const EOS = 256;

const CODES = new Uint32Array(257);
{
  let code = 0;
  for (let length = 1; length <= 30; length += 1) {
    for (let symbol = 0; symbol <= EOS; symbol += 1) {
      if (LENGTHS[symbol] !== length) continue;
      CODES[symbol] = code;
      code += 1;
    }
    code *= 2;
  }
}

/*
 * The decoder is a state machine over half bytes: a state is an inner node of the code tree. An entry holds the next
 * state (bits 0-8), whether a symbol is complete (bit 9), the symbol (bits 10-17); FAIL for EOS, which must not occur.
 */
const EMITS = 1 << 9;
const FAIL = -1;
const { table: STEPS, accepting: ACCEPTING } = build();

function build(): { table: Int32Array; accepting: Uint8Array } {
  const children: [number, number][] = [[0, 0]];
  // Leaves are negative: -1 - symbol. The root is never a child, so 0 means absent while building.
  for (let symbol = 0; symbol <= EOS; symbol += 1) {
    let node = 0;
    for (let bit = LENGTHS[symbol]! - 1; bit >= 0; bit -= 1) {
      const side = (CODES[symbol]! >>> bit) & 1;
      const pair = children[node]!;
      if (bit === 0) pair[side] = -1 - symbol;
      else {
        if (pair[side] === 0) pair[side] = children.push([0, 0]) - 1;
        node = pair[side]!;
      }
    }
  }
  const table = new Int32Array(children.length * 16);
  for (let state = 0; state < children.length; state += 1) {
    for (let nibble = 0; nibble < 16; nibble += 1) {
      let node = state;
      let entry = 0;
      for (let bit = 3; bit >= 0 && entry !== FAIL; bit -= 1) {
        node = children[node]![(nibble >> bit) & 1]!;
        if (node >= 0) continue;
        const symbol = -1 - node;
        // Codes have at least five bits: one symbol at most ends within four.
        entry = symbol === EOS ? FAIL : EMITS | (symbol << 10);
        node = 0;
      }
      table[state * 16 + nibble] = entry === FAIL ? FAIL : entry | node;
    }
  }
  // Padding is the beginning of EOS, all ones, shorter than a byte.
  const accepting = new Uint8Array(children.length);
  let node = 0;
  for (let depth = 0; depth < 8 && node >= 0; depth += 1) {
    accepting[node] = 1;
    node = children[node]![1];
  }
  return { table, accepting };
}

/** Bytes that decoding `length` bytes can give at most. */
export const decodedBound = (length: number): number => Math.ceil((length * 8) / 5);

/** Decodes into `out` from 0 on; the number of bytes, or -1 for EOS or wrong padding. */
export function huffmanDecode(bytes: Uint8Array, from: number, to: number, out: Uint8Array): number {
  let state = 0;
  let length = 0;
  for (let i = from; i < to; i += 1) {
    const byte = bytes[i]!;
    let step = STEPS[state * 16 + (byte >> 4)]!;
    if (step === FAIL) return -1;
    if ((step & EMITS) !== 0) {
      out[length] = step >> 10;
      length += 1;
    }
    step = STEPS[(step & 511) * 16 + (byte & 15)]!;
    if (step === FAIL) return -1;
    if ((step & EMITS) !== 0) {
      out[length] = step >> 10;
      length += 1;
    }
    state = step & 511;
  }
  return ACCEPTING[state] === 1 ? length : -1;
}

/** Bytes that `text` (latin1) takes when encoded. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i += 1) bits += LENGTHS[text.charCodeAt(i)]!;
  return (bits + 7) >> 3;
}

/** Encodes `text` (latin1) at `at`; the offset after it. */
export function huffmanEncode(text: string, out: Uint8Array, at: number): number {
  let position = at;
  let pending = 0;
  let count = 0;
  for (let i = 0; i < text.length; i += 1) {
    const symbol = text.charCodeAt(i);
    let code = CODES[symbol]!;
    let length = LENGTHS[symbol]!;
    // At most 7 bits pend: two steps keep everything within 32.
    if (length > 16) {
      pending = (pending << (length - 16)) | (code >>> 16);
      count += length - 16;
      code &= 0xffff;
      length = 16;
      while (count >= 8) {
        count -= 8;
        out[position] = pending >>> count;
        position += 1;
      }
      pending &= (1 << count) - 1;
    }
    pending = (pending << length) | code;
    count += length;
    while (count >= 8) {
      count -= 8;
      out[position] = pending >>> count;
      position += 1;
    }
    pending &= (1 << count) - 1;
  }
  if (count > 0) {
    out[position] = (pending << (8 - count)) | (0xff >> count);
    position += 1;
  }
  return position;
}
