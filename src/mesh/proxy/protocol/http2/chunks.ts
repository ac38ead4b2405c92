/** Pieces up to this size are joined: a byte that waits must not cost a hundred. */
const SMALL = 512;
const JOINED = 4_096;
/**
 * For a whole frame; a size by which `release` knows its own. Used again, because garbage of this kind is collected late,
 * by the dozen megabytes.
 */
const BLOCK = 16_392;
const SPARE = 256;
const spare: Buffer[] = [];

function copy(piece: Buffer): Buffer {
  if (piece.length <= JOINED || piece.length > BLOCK) return Buffer.from(piece);
  const block = spare.pop() ?? Buffer.allocUnsafeSlow(BLOCK);
  piece.copy(block);
  return block.subarray(0, piece.length);
}

/** Appends a copy of `bytes[from, to)` to `chunks`. */
export function append(chunks: Buffer[], bytes: Buffer, from: number, to: number): void {
  const last = chunks.at(-1);
  const piece = bytes.subarray(from, to);
  if (last !== undefined && piece.length <= SMALL && last.length + piece.length <= JOINED) {
    chunks[chunks.length - 1] = Buffer.concat([last, piece]);
  } else chunks.push(copy(piece));
}

/** Nobody looks at a chunk that `append` made any more. */
export function release(chunk: Buffer): void {
  if (chunk.buffer.byteLength === BLOCK && spare.length < SPARE) spare.push(Buffer.from(chunk.buffer));
}
