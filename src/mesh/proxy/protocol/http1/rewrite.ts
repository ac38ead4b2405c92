import type { Head } from './head.ts';

/** Bodies up to this size that came with their head are copied behind a longer head, so that one write carries both. */
const COPY_LIMIT = 16_384;

/**
 * The bytes to forward for a parsed head and the part of its body in the same buffer (up to `bodyEnd`): the buffer
 * itself when nothing changes; compacted in place when lines are left out; a new buffer when `insert` (header lines
 * with their CRLF) is added. Second element: body bytes that were too many to copy.
 */
export function forwardHead(
  head: Head,
  buffer: Buffer,
  bodyEnd: number,
  insert: Buffer | undefined,
): [Buffer, Buffer | undefined] {
  if (insert === undefined) {
    const start = head.dropped ? compact(head, buffer) : head.start;
    return [start === 0 && bodyEnd === buffer.length ? buffer : buffer.subarray(start, bodyEnd), undefined];
  }
  const start = head.dropped ? compact(head, buffer) : head.start;
  // Before the empty line that ends the head.
  const cut = head.end - 2;
  const whole = bodyEnd - head.end <= COPY_LIMIT;
  const end = whole ? bodyEnd : head.end;
  const out = Buffer.allocUnsafe(end - start + insert.length);
  buffer.copy(out, 0, start, cut);
  out.set(insert, cut - start);
  buffer.copy(out, cut - start + insert.length, cut, end);
  return [out, whole ? undefined : buffer.subarray(head.end, bodyEnd)];
}

/** Moves what stays of the head towards the body, over the lines left out. Returns where it starts now. */
function compact(head: Head, buffer: Buffer): number {
  let target = head.end;
  let keepEnd = head.end;
  for (let index = head.count - 1; index >= 0; index -= 1) {
    if (!head.isDropped(index)) continue;
    const keepStart = head.lineEnd(index);
    target -= keepEnd - keepStart;
    if (target !== keepStart) buffer.copyWithin(target, keepStart, keepEnd);
    keepEnd = head.lineStart(index);
  }
  target -= keepEnd - head.start;
  if (target !== head.start) buffer.copyWithin(target, head.start, keepEnd);
  return target;
}
