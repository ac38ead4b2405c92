import type { ListLimits } from './list.ts';

export interface Http2Limits extends ListLimits {
  /** Streams a peer may have open at a time. */
  streams: number;
  /** Bytes of one stream that may be on their way to us or wait here. */
  streamWindow: number;
  /** Of a whole connection. */
  connectionWindow: number;
  /** Encoded bytes of one header block. */
  headerBlock: number;
  /** CONTINUATION frames of one header block. */
  continuations: number;
  /**
   * Streams a client may break, by RST_STREAM or by making us send one, and that we break at a server, which counts in the
   * same way: at once, and a second. Every request that ends well allows one more.
   */
  resets: readonly [number, number];
  /** Frames that carry nothing: PING, SETTINGS, PRIORITY, empty DATA and the like; at once, and a second. */
  control: readonly [number, number];
  /** Bytes that wait for peers to take them, of all connections together; beyond `most` nobody may send more. */
  backlog: { bytes: number; readonly most: number };
  /** Bytes on their way out for a peer that does not read: more ends the connection. */
  output: number;
}

export const DEFAULT_HTTP2_LIMITS: Http2Limits = {
  headerList: 65_536,
  headerCount: 200,
  streams: 256,
  streamWindow: 262_144,
  connectionWindow: 4_194_304,
  headerBlock: 65_536,
  continuations: 64,
  resets: [300, 30],
  control: [1_000, 200],
  backlog: { bytes: 0, most: 67_108_864 },
  output: 1_048_576,
};
