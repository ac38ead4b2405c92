/** How many bytes of one connection are handled at a time, by what handling them costs. Pure. */

/** Of a connection whose bytes cost what bytes usually do: one read. */
export const MOST = 65_536;
/** Of one whose bytes are dear; fewer are not worth a look at the clock. */
export const LEAST = 2_048;
/** Milliseconds that one connection may take before others have their turn. */
export const SHARE = 1;

/**
 * What to read at once after `count` of `portion` bytes took so many milliseconds. 64 KiB of a body are handled in a tenth of one; as
 * header blocks, at eleven bytes for a field that nobody has seen before, they are 30 requests and 6,000 fields: 10 of them and more.
 */
export function portionAfter(portion: number, count: number, milliseconds: number): number {
  if (milliseconds > SHARE) return Math.max(LEAST, portion / 2);
  // What was not full says nothing about more.
  return count === portion && milliseconds < SHARE / 2 ? Math.min(MOST, portion * 2) : portion;
}
