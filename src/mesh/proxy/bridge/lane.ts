/**
 * Lanes: HTTP/1.1 connections between two proxies as streams of one HTTP/2 connection. Their bytes pass as they are, so a
 * request costs no header compression and no translation, and those of many lanes leave in one write.
 */
import type { Http2Upstream, Waiter } from '../http2/upstream.ts';
import { type Field, share } from '../protocol/http2/field.ts';
import type { ConnectionHandler } from '../transport/types.ts';
import { StreamConnection } from './stream-connection.ts';

/** The `:protocol` (RFC 8441) of a lane. */
export const LANE = 'weir-http1';

/** How a lane begins. */
const OPENING: Field[] = [
  share(':method', 'CONNECT'),
  share(':protocol', LANE),
  share(':scheme', 'http'),
  share(':path', '/'),
  share(':authority', 'lane'),
];
const SIZE = OPENING.reduce((sum, { size }) => sum + size, 0);

/** The near end of a lane. */
export class Lane extends StreamConnection implements Waiter {
  readonly http2: Http2Upstream;

  /** Is open at once if the connection is there; else `handler` is told. */
  constructor(http2: Http2Upstream, handler: ConnectionHandler) {
    super('client', http2, handler);
    this.http2 = http2;
    if (http2.ready) this.#open();
    else http2.wait(this);
  }

  #open(): void {
    const { http2 } = this.http2;
    this.http2.begun();
    const stream = http2.open(this, true);
    this.begin(stream);
    http2.sender.headers(stream, OPENING, OPENING.length, SIZE, false);
  }

  connected(): void {
    if (this.closed) return;
    // Not what it was when it was chosen: nothing has been sent yet.
    if (this.http2.endpoint.multiplexes) {
      this.#open();
      this.handler.open?.();
    } else this.failed('the peer takes no lanes', true);
  }

  failed(reason: string | undefined, unprocessed: boolean): void {
    this.unprocessed = unprocessed;
    this.close(reason);
  }

  override destroy(): void {
    this.http2.forget(this);
    super.destroy();
  }

  override breakOff(): void {
    this.destroy();
  }

  /** Its connection closes once nothing goes on there. */
  get leaving(): boolean {
    return this.http2.http2.leaving;
  }

  /** A request was answered. */
  served(): void {
    this.http2.http2.earn();
  }
}
