import type { Field } from './field.ts';
import type { FieldList } from './list.ts';

/** Who ended a stream before its end. */
export type ResetBy = 'peer' | 'self' | 'connection';

/** What happens on one stream. Lists and bytes are valid during the call. */
export interface StreamHandler {
  /** Client role: a response, interim ones (1xx) included. */
  headers(list: FieldList, end: boolean): void;
  /** Part of the body; to be given back by `consume` once it has been passed on. */
  data(bytes: Buffer, from: number, to: number, end: boolean): void;
  trailers(list: FieldList): void;
  /** So many bytes that had to wait for the peer's window have left; 0 = the end, or trailers, that waited behind them. */
  flushed(bytes: number): void;
  /** Last event of a stream that did not end by itself. `unprocessed`: the peer has not acted on the request. */
  reset(code: number, by: ResetBy, unprocessed: boolean): void;
}

/** One stream's state (RFC 9113 5.1): which half has ended, and the two flow-control windows. */
export class Http2Stream {
  readonly id: number;
  handler: StreamHandler | undefined;
  /** We may send so much. */
  sendWindow: number;
  /** The peer may send so much. */
  receiveWindow: number;
  /** … when all of it has been passed on. */
  window: number;
  /** Bytes that came and were not passed on. */
  unconsumed = 0;
  /** Bytes passed on that the peer has not been told of. */
  credit = 0;
  remoteDone = false;
  localDone = false;
  /** Of a client of its own (see lanes): what it holds is not held against the connection's window. */
  apart = false;
  /** Removed from its connection. */
  closed = false;
  /** The first header section has come. */
  headed = false;
  /** Body bytes still announced by content-length; -1 = not known. */
  expected = -1;
  /** Client role: the request was HEAD, so content-length announces nothing. */
  bodiless = false;

  /** What waits for the window or for the connection to drain. */
  queue: Buffer[] | undefined;
  queued = 0;
  endQueued = false;
  trailersQueued: Field[] | undefined;
  /** When the queue last shrank or began. */
  waitingSince = 0;

  constructor(id: number, sendWindow: number, receiveWindow: number) {
    this.id = id;
    this.sendWindow = sendWindow;
    this.receiveWindow = receiveWindow;
    this.window = receiveWindow;
  }

  /** Something waits to be sent. */
  get waiting(): boolean {
    return this.queued > 0 || this.endQueued || this.trailersQueued !== undefined;
  }
}
