/** Agreed on between two proxies that know lanes: HTTP/1.1 may come in them. First bytes decide as ever. */
export const MULTIPLEXED = 'weir-lanes';
/** What a listener agrees on with a peer that asks. */
export const ALPN = [MULTIPLEXED, 'h2', 'http/1.1'];

/** What the first bytes of a plain connection say. Pure. */
export type Detected = 'http1' | 'http2' | 'tls' | 'tcp' | 'more';

const METHODS = (
  'GET HEAD POST PUT DELETE OPTIONS PATCH TRACE CONNECT QUERY PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK ' +
  'SEARCH REPORT PURGE LINK UNLINK'
).split(' ');
const STARTS = METHODS.map((method) => Buffer.from(`${method} `, 'latin1'));
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

function startsWith(bytes: Buffer, prefix: Buffer): boolean {
  const length = Math.min(bytes.length, prefix.length);
  return bytes.compare(prefix, 0, length, 0, length) === 0;
}

/** `more` only while the bytes are a proper prefix of something HTTP begins with. */
export function detect(bytes: Buffer): Detected {
  if (bytes.length === 0) return 'more';
  if (bytes[0] === 0x16) return 'tls';
  if (startsWith(bytes, PREFACE)) return bytes.length >= PREFACE.length ? 'http2' : 'more';
  for (const start of STARTS) {
    if (startsWith(bytes, start)) return bytes.length >= start.length ? 'http1' : 'more';
  }
  return 'tcp';
}
