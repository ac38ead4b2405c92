import type { BodyReader } from './body.ts';
import type { Head } from './head.ts';

/** Starts the framing of a final response's body (RFC 9112 6.3). `bodiless`: it answers a HEAD. */
export function startResponseBody(body: BodyReader, head: Head, bodiless: boolean): void {
  if (bodiless || head.status === 204 || head.status === 304) body.start('none');
  else if (head.chunked) body.start('chunked');
  else if (head.contentLength >= 0) body.start('length', head.contentLength);
  else body.start('eof');
}
