/** What parsing a head gives, and the ways it can fail. */

/** Negative results, each with the status a server answers and a text that says what was wrong. */
export const HEAD_ERRORS = {
  startLine: { code: -1, status: 400, reason: 'malformed start line' },
  target: { code: -2, status: 400, reason: 'invalid character in the request target' },
  version: { code: -3, status: 505, reason: 'HTTP version not supported' },
  lineEnd: { code: -4, status: 400, reason: 'bare CR or LF' },
  fieldName: { code: -5, status: 400, reason: 'invalid header name, space before the colon, or folded line' },
  fieldValue: { code: -6, status: 400, reason: 'invalid character in a header value' },
  length: { code: -7, status: 400, reason: 'invalid or conflicting Content-Length' },
  encoding: { code: -8, status: 400, reason: 'Transfer-Encoding with Content-Length, HTTP/1.0 or repeated' },
  coding: { code: -9, status: 501, reason: 'transfer coding other than chunked' },
  host: { code: -10, status: 400, reason: 'missing, repeated or invalid Host' },
  connection: { code: -11, status: 400, reason: 'Connection lists a header that frames the message' },
  tooLarge: { code: -12, status: 431, reason: 'headers too large' },
  tooMany: { code: -13, status: 431, reason: 'too many headers' },
  longTarget: { code: -14, status: 414, reason: 'request line too long' },
  upgrade: { code: -15, status: 400, reason: 'upgrade with a message body' },
} as const;

export interface HeadError {
  code: number;
  status: number;
  reason: string;
}

const BY_CODE = new Map<number, HeadError>(Object.values(HEAD_ERRORS).map((error) => [error.code, error]));
export const headError = (code: number): HeadError => BY_CODE.get(code)!;

export interface HeadLimits {
  bytes: number;
  count: number;
  startLine: number;
}

export const DEFAULT_HEAD_LIMITS: HeadLimits = { bytes: 65_536, count: 200, startLine: 8_192 };

/** Ints per header line: name start, name end, value start, line end, dropped. */
export const STRIDE = 5;

/** The result of the last parse: offsets into the buffer that was parsed. */
export class Head {
  readonly limits: HeadLimits;
  readonly fields: Int32Array;
  count = 0;
  start = 0;
  end = 0;
  minor = 1;
  methodEnd = 0;
  targetEnd = 0;
  status = 0;
  /** -1 when there is none. */
  contentLength = -1;
  chunked = false;
  close = false;
  keepAlive = false;
  /** Connection lists `upgrade` and there is an Upgrade header. */
  upgrade = false;
  expectContinue = false;
  /** Whether a line must be left out when forwarding. */
  dropped = false;
  /** Index of the Host line among the fields, or -1. */
  host = -1;
  /** The authority of an absolute target that Host does not agree with; empty when there is none. */
  authorityStart = 0;
  authorityEnd = 0;

  constructor(limits: HeadLimits = DEFAULT_HEAD_LIMITS) {
    this.limits = limits;
    this.fields = new Int32Array(limits.count * STRIDE);
  }

  lineStart(index: number): number {
    return this.fields[index * STRIDE]!;
  }

  lineEnd(index: number): number {
    return this.fields[index * STRIDE + 3]!;
  }

  isDropped(index: number): boolean {
    return this.fields[index * STRIDE + 4] === 1;
  }

  /** Name in lower case and value; for the rare path and for tests. */
  field(buffer: Buffer, index: number): [string, string] {
    const at = index * STRIDE;
    const name = buffer.toString('latin1', this.fields[at]!, this.fields[at + 1]!).toLowerCase();
    return [name, buffer.toString('latin1', this.fields[at + 2]!, this.fields[at + 3]! - 2).trim()];
  }

  method(buffer: Buffer): string {
    const { start } = this;
    // The most frequent one without making a string of it.
    if (
      this.methodEnd - start === 3 &&
      buffer[start] === 71 &&
      buffer[start + 1] === 69 &&
      buffer[start + 2] === 84
    )
      return 'GET';
    return buffer.toString('latin1', this.start, this.methodEnd);
  }

  target(buffer: Buffer): string {
    return buffer.toString('latin1', this.methodEnd + 1, this.targetEnd);
  }

  /** What has to take Host's place (RFC 9112 3.2.2), if anything. */
  authority(buffer: Buffer): string | undefined {
    const { authorityStart, authorityEnd } = this;
    return authorityEnd === 0 ? undefined : buffer.toString('latin1', authorityStart, authorityEnd);
  }
}
