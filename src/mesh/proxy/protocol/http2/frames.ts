/** Frame layout of RFC 9113 4 to 7: numbers and a buffer that frames are written into. */
export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const FLAG = { endStream: 1, ack: 1, endHeaders: 4, padded: 8, priority: 32 } as const;

export const ERROR = {
  none: 0,
  protocol: 1,
  internal: 2,
  flowControl: 3,
  streamClosed: 5,
  frameSize: 6,
  refusedStream: 7,
  cancel: 8,
  compression: 9,
  enhanceYourCalm: 11,
} as const;

const ERROR_NAMES =
  'NO_ERROR PROTOCOL_ERROR INTERNAL_ERROR FLOW_CONTROL_ERROR SETTINGS_TIMEOUT STREAM_CLOSED FRAME_SIZE_ERROR REFUSED_STREAM CANCEL COMPRESSION_ERROR CONNECT_ERROR ENHANCE_YOUR_CALM INADEQUATE_SECURITY HTTP_1_1_REQUIRED'.split(
    ' ',
  );
/** As the RFC spells it. */
export const errorName = (code: number): string => ERROR_NAMES[code] ?? String(code);

export const SETTING = {
  headerTableSize: 1,
  enablePush: 2,
  /** RFC 8441 3. */
  enableConnectProtocol: 8,
  maxConcurrentStreams: 3,
  initialWindowSize: 4,
  maxFrameSize: 5,
  maxHeaderListSize: 6,
} as const;

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
export const FRAME_HEADER = 9;
export const MAX_WINDOW = 0x7fff_ffff;
export const DEFAULT_WINDOW = 65_535;
/** SETTINGS_MAX_FRAME_SIZE, ours and what we send at most. */
export const FRAME_SIZE = 16_384;

const SMALLEST = 2_048;

/** Frames on their way out, back to back. Grows as needed, and shrinks once it was emptied. */
export class Output {
  bytes: Buffer = Buffer.allocUnsafeSlow(SMALLEST);
  length = 0;

  /** Makes room for `more` bytes behind what is there. */
  reserve(more: number): void {
    const needed = this.length + more;
    if (needed <= this.bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.bytes.length * 2));
    this.bytes.copy(grown, 0, 0, this.length);
    this.bytes = grown;
  }

  /** Everything has been handed on. */
  clear(): void {
    this.length = 0;
    if (this.bytes.length > 4 * FRAME_SIZE) this.bytes = Buffer.allocUnsafeSlow(SMALLEST);
  }

  /** A frame header; the caller has reserved room for it and for its payload. */
  header(length: number, type: number, flags: number, stream: number): void {
    const { bytes } = this;
    const p = this.length;
    bytes[p] = length >>> 16;
    bytes[p + 1] = length >>> 8;
    bytes[p + 2] = length;
    bytes[p + 3] = type;
    bytes[p + 4] = flags;
    bytes[p + 5] = stream >>> 24;
    bytes[p + 6] = stream >>> 16;
    bytes[p + 7] = stream >>> 8;
    bytes[p + 8] = stream;
    this.length = p + FRAME_HEADER;
  }

  uint32(value: number): void {
    const { bytes } = this;
    const p = this.length;
    bytes[p] = value >>> 24;
    bytes[p + 1] = value >>> 16;
    bytes[p + 2] = value >>> 8;
    bytes[p + 3] = value;
    this.length = p + 4;
  }

  raw(source: Buffer, from: number, to: number): void {
    const size = to - from;
    const { bytes } = this;
    const at = this.length;
    // Setting all of another array is a third of what `copy` costs.
    if (size > 64 && size === source.length) bytes.set(source, at);
    else if (size > 64) source.copy(bytes, at, from, to);
    else for (let i = 0; i < size; i += 1) bytes[at + i] = source[from + i]!;
    this.length = at + size;
  }

  settings(values: readonly (readonly [number, number])[]): void {
    this.reserve(FRAME_HEADER + 6 * values.length);
    this.header(6 * values.length, FRAME.settings, 0, 0);
    for (const [id, value] of values) {
      this.bytes.writeUInt16BE(id, this.length);
      this.length += 2;
      this.uint32(value);
    }
  }

  settingsAck(): void {
    this.reserve(FRAME_HEADER);
    this.header(0, FRAME.settings, FLAG.ack, 0);
  }

  windowUpdate(stream: number, increment: number): void {
    this.reserve(FRAME_HEADER + 4);
    this.header(4, FRAME.windowUpdate, 0, stream);
    this.uint32(increment);
  }

  rstStream(stream: number, code: number): void {
    this.reserve(FRAME_HEADER + 4);
    this.header(4, FRAME.rstStream, 0, stream);
    this.uint32(code);
  }

  /** `data`: eight bytes from `from` on. */
  ping(flags: number, data: Buffer, from: number): void {
    this.reserve(FRAME_HEADER + 8);
    this.header(8, FRAME.ping, flags, 0);
    this.raw(data, from, from + 8);
  }

  goaway(lastStream: number, code: number, debug: string): void {
    const text = Buffer.from(debug, 'latin1');
    this.reserve(FRAME_HEADER + 8 + text.length);
    this.header(8 + text.length, FRAME.goaway, 0, 0);
    this.uint32(lastStream);
    this.uint32(code);
    this.raw(text, 0, text.length);
  }
}
