import { Backlog } from './backlog.ts';
import type { ListLimits } from './list.ts';

export interface Http2Limits extends ListLimits {
  /** Streams a peer may have open at a time. */
  streams: number;
  /** Bytes of one request's body that may be on their way to us or wait here. */
  streamWindow: number;
  /** The same of a response. Little, as a client that reads nothing may ask for many. */
  responseWindow: number;
  /** What both grow to while nothing has to wait here: for bodies over long distances. */
  fastWindow: number;
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
  /** What waits for peers to take it, of all connections together. */
  backlog: Backlog;
  /** Bytes that may wait for a client that does not read before no more requests are taken from it. */
  unread: number;
  /** Bytes on their way out for a peer that does not read: more ends the connection. */
  output: number;
}

/** Bytes that may wait for all peers together. */
export const BACKLOG = 33_554_432;

export const DEFAULT_HTTP2_LIMITS: Http2Limits = {
  headerList: 65_536,
  headerCount: 200,
  streams: 256,
  streamWindow: 65_536,
  responseWindow: 16_384,
  fastWindow: 262_144,
  connectionWindow: 4_194_304,
  headerBlock: 65_536,
  continuations: 64,
  resets: [300, 30],
  control: [1_000, 200],
  backlog: new Backlog(BACKLOG),
  unread: 1_048_576,
  output: 1_048_576,
};
