import { DEFAULT_WINDOW, ERROR, FRAME_SIZE, MAX_WINDOW, SETTING } from './frames.ts';
import type { HpackEncoder } from './hpack-encoder.ts';
import type { Http2Stream } from './stream.ts';

/** Until the peer says otherwise (RFC 9113 6.5.2 recommends no less). */
export const ASSUMED_STREAMS = 100;

/** Why the connection cannot go on. */
export interface Problem {
  code: number;
  reason: string;
}

/** What the peer has said in SETTINGS (RFC 9113 6.5.2). */
export class PeerSettings {
  /** SETTINGS_MAX_CONCURRENT_STREAMS. */
  streams = ASSUMED_STREAMS;
  /** SETTINGS_INITIAL_WINDOW_SIZE. */
  window = DEFAULT_WINDOW;
  /** SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441 3); undefined until the first SETTINGS. */
  connectProtocol: boolean | undefined;

  /** Takes a frame's payload in, whole entries of six bytes; `open`: the streams whose windows change with it. */
  read(
    bytes: Buffer,
    from: number,
    to: number,
    { server, encoder, open }: { server: boolean; encoder: HpackEncoder; open: Iterable<Http2Stream> },
  ): Problem | undefined {
    this.connectProtocol ??= false;
    for (let at = from; at < to; at += 6) {
      const value = bytes.readUInt32BE(at + 2);
      let reason: string | undefined;
      switch (bytes.readUInt16BE(at)) {
        case SETTING.headerTableSize:
          encoder.limit(value);
          break;
        case SETTING.enablePush:
          if (value > 1 || (!server && value === 1)) reason = 'invalid ENABLE_PUSH';
          break;
        case SETTING.enableConnectProtocol:
          if (value > 1 || (value === 0 && this.connectProtocol)) reason = 'invalid ENABLE_CONNECT_PROTOCOL';
          else this.connectProtocol = value === 1;
          break;
        case SETTING.maxConcurrentStreams:
          this.streams = value;
          break;
        case SETTING.initialWindowSize:
          if (!this.#resize(value, open)) return { code: ERROR.flowControl, reason: 'window too large' };
          break;
        case SETTING.maxFrameSize:
          if (value < FRAME_SIZE || value > 0xff_ffff) reason = 'invalid MAX_FRAME_SIZE';
          break;
      }
      if (reason !== undefined) return { code: ERROR.protocol, reason };
    }
    return undefined;
  }

  #resize(value: number, open: Iterable<Http2Stream>): boolean {
    if (value > MAX_WINDOW) return false;
    const change = value - this.window;
    this.window = value;
    let fits = true;
    for (const stream of open) {
      stream.sendWindow += change;
      if (stream.sendWindow > MAX_WINDOW) fits = false;
    }
    return fits;
  }
}
