/** Integers of HPACK (RFC 7541 5.1). */

/** Largest value accepted, and more than any index, length or table size here can be. */
const MAX = 0x0fff_ffff;

/** Offset after the integer that was read last. */
export const read = { end: 0 };

/** The integer with a prefix of `bits` at `at`, or -1 when it is cut off or too large. Sets `read.end`. */
export function readInteger(bytes: Uint8Array, at: number, to: number, bits: number): number {
  const mask = (1 << bits) - 1;
  let value = bytes[at]! & mask;
  let i = at + 1;
  if (value === mask) {
    let shift = 0;
    for (;;) {
      // Four groups of seven bits reach MAX; a fifth, even of zeros, is refused.
      if (i >= to || shift > 21) return -1;
      const byte = bytes[i]!;
      i += 1;
      value += (byte & 127) << shift;
      if (value > MAX) return -1;
      shift += 7;
      if (byte < 128) break;
    }
  }
  read.end = i;
  return value;
}

/** Writes `value` behind the pattern `first` with a prefix of `bits`; the offset after it. */
export function writeInteger(
  out: Uint8Array,
  at: number,
  first: number,
  bits: number,
  value: number,
): number {
  const mask = (1 << bits) - 1;
  if (value < mask) {
    out[at] = first | value;
    return at + 1;
  }
  out[at] = first | mask;
  let rest = value - mask;
  let i = at + 1;
  while (rest >= 128) {
    out[i] = (rest & 127) | 128;
    rest >>>= 7;
    i += 1;
  }
  out[i] = rest;
  return i + 1;
}
