/**
 * One HTTP/2 connection (RFC 9113) as a state machine: bytes in, events out; actions in, bytes out. It knows no socket
 * and no clock: whoever owns it passes the time in and takes `sender.output` away.
 */
import { CLOSED_BY } from './closed.ts';
import { ControlFrames } from './control.ts';
import { DEFAULT_WINDOW, ERROR, FLAG, FRAME, MAX_WINDOW, PREFACE, SETTING } from './frames.ts';
import { HpackDecoder } from './hpack-decoder.ts';
import type { Http2Limits } from './limits.ts';
import { FieldList } from './list.ts';
import { PeerSettings } from './peer-settings.ts';
import { type FrameEvents, FrameReader } from './reader.ts';
import { ReceiveWindows } from './receive-windows.ts';
import { Sender } from './sender.ts';
import type { Http2Stream, StreamHandler } from './stream.ts';
import { Streams } from './streams.ts';

export interface ConnectionEvents {
  /** There are bytes to take away. */
  written(): void;
  /** Server role: a request; sets the stream's handler. */
  request?(stream: Http2Stream, list: FieldList, end: boolean): void;
  /** Client role: the peer's settings have come. */
  settings?(): void;
  /** The peer takes no new streams. */
  goaway?(code: number): void;
  /** A PING of ours was answered. */
  pong?(): void;
  /** The last stream has ended. */
  idle(): void;
  /** The peer broke the protocol. GOAWAY is written: send it and close. */
  failed(code: number, reason: string): void;
  /** Whoever serves a stream has thrown: that stream was reset, the others go on. */
  threw(error: unknown): void;
}

const PING_DATA = Buffer.from('weir-h2\0', 'latin1');
export class Http2Connection implements FrameEvents {
  readonly sender: Sender;
  /** Fields of the last block. */
  readonly list: FieldList;
  readonly #server: boolean;
  readonly #events: ConnectionEvents;
  readonly #limits: Http2Limits;
  readonly #strip: boolean;
  readonly #decoder = new HpackDecoder();
  readonly #streams: Streams;
  readonly #windows: ReceiveWindows;
  readonly #peer = new PeerSettings();
  readonly #control: ControlFrames;
  /** Nothing is read any more. */
  dead = false;
  /** The peer has said GOAWAY. */
  leaving = false;
  readonly #reader: FrameReader;

  /** `strip`: see FieldList. */
  constructor(role: 'client' | 'server', events: ConnectionEvents, limits: Http2Limits, strip: boolean) {
    this.#server = role === 'server';
    this.#events = events;
    this.#limits = limits;
    this.#strip = strip;
    this.list = new FieldList(limits);
    this.#reader = new FrameReader(this, limits, this.#server);
    this.sender = new Sender(limits.backlog, {
      written: () => events.written(),
      ended: (stream) => this.#streams.localEnd(stream),
      threw: (stream, handler, thrown) => this.#streams.threw(stream, handler, thrown),
      giveUp: (stream) => this.#streams.giveUp(stream, ERROR.enhanceYourCalm),
    });
    const { sender } = this;
    const { output } = sender;
    this.#windows = new ReceiveWindows(this.#server, limits, output, () => events.written());
    this.#streams = new Streams(this.#server, limits, { sender, windows: this.#windows, events });
    this.#control = new ControlFrames(this.#server, limits, {
      sender,
      streams: this.#streams,
      peer: this.#peer,
      events,
      broken: (code, reason) => this.broken(code, reason),
      streamError: (id, code) => this.#streamError(id, code),
      leaving: () => {
        this.leaving = true;
      },
    });
    if (!this.#server) {
      output.reserve(PREFACE.length);
      output.raw(PREFACE, 0, PREFACE.length);
    }
    const own: [number, number][] = this.#server
      ? [
          [SETTING.maxConcurrentStreams, limits.streams],
          [SETTING.enableConnectProtocol, 1],
        ]
      : [[SETTING.enablePush, 0]];
    output.settings([
      ...own,
      [SETTING.initialWindowSize, this.#server ? limits.streamWindow : limits.responseWindow],
      [SETTING.maxHeaderListSize, limits.headerList],
    ]);
    output.windowUpdate(0, limits.connectionWindow - DEFAULT_WINDOW);
    events.written();
  }

  /** Number of the header block that has begun and is not whole; 0 = there is none. */
  get openBlock(): number {
    return this.#reader.inBlock ? this.#reader.blocks + 1 : 0;
  }

  get streamCount(): number {
    return this.#streams.count;
  }

  /** Client role: whether another request can be sent. */
  get canOpen(): boolean {
    if (this.dead || this.leaving) return false;
    return this.#streams.count < this.#peer.streams && this.#streams.unspent;
  }

  /** Client role: how many requests at a time the server takes; until it has said so, what is assumed. */
  get mostStreams(): number {
    return this.#peer.streams;
  }

  /** … by what it has said on another connection. */
  set mostStreams(count: number) {
    this.#peer.streams = count;
  }

  /** Client role: whether the server takes extended CONNECT; undefined until it has said what it takes. */
  get takesConnect(): boolean | undefined {
    return this.#peer.connectProtocol;
  }

  // --- actions ---

  /** Client role: a new stream for one request. */
  open(handler: StreamHandler, bodiless: boolean): Http2Stream {
    return this.#streams.begin(handler, bodiless, this.#peer.window);
  }

  /** `bytes` of a stream's body have been passed on: the peer may send as much again. */
  consume(stream: Http2Stream, bytes: number) {
    this.#windows.consume(stream, bytes);
  }

  /** Client role: ends a stream whose answer nobody wants, as soon as there is room for another reset. */
  cancel(stream: Http2Stream) {
    this.#streams.cancel(stream, this.#control.now);
  }

  /** Cancels those for which there was no room; true: there still is none for some. */
  cancelMore(now: number): boolean {
    this.#streams.cancelMore(now);
    return this.#streams.cancelling > 0;
  }

  /** Something on a stream ended well that goes on: one more may be broken. */
  earn() {
    this.#streams.earn();
  }

  /** Ends a stream at once. Its handler is not told. */
  reset(stream: Http2Stream, code: number) {
    this.#streams.reset(stream, code);
  }

  /** Announces that this connection takes no more requests; those begun are finished. */
  leave() {
    // Two steps (RFC 9113 6.8): what the peer sends until it has read the first is served still.
    this.sender.output.goaway(MAX_WINDOW, ERROR.none, '');
    this.ping();
  }

  ping() {
    this.sender.output.ping(0, PING_DATA, 0);
    this.#events.written();
  }

  /** Second step of `leave`, once the peer has answered. */
  refuseFurther() {
    const { lastRemote } = this.#streams;
    this.#streams.lastAccepted = lastRemote;
    this.sender.output.goaway(lastRemote, ERROR.none, '');
    this.#events.written();
  }

  /** The transport takes bytes again. */
  unblock(now: number) {
    this.sender.blocked = false;
    this.sender.pump(now);
  }

  /** The connection is gone: every stream is told. */
  close() {
    this.dead = true;
    this.#streams.close();
  }

  /** Resets the streams whose peer has taken nothing for `milliseconds` although something waits for it. */
  resetStalled(now: number, milliseconds: number) {
    this.#streams.resetStalled(now, milliseconds);
  }

  // --- bytes in ---

  /** Bytes as they come, in whatever pieces. `now` in milliseconds. */
  receive(chunk: Buffer, now: number) {
    this.#control.now = now;
    this.#reader.read(chunk);
    this.#streams.cancelMore(now);
  }

  frame(type: number, flags: number, id: number, bytes: Buffer, from: number, to: number) {
    switch (type) {
      case FRAME.data:
        return this.#onData(bytes, from, to, flags, id);
      case FRAME.pushPromise:
        // A client must not push, and we have told servers not to.
        return this.broken(ERROR.protocol, 'PUSH_PROMISE');
      default:
        this.#control.frame(type, flags, id, bytes, from, to);
    }
  }

  // --- what is wrong ---

  /** The peer broke the protocol, or we cannot go on with it: GOAWAY, and nothing is read any more. */
  broken(code: number, reason: string) {
    if (this.dead) return;
    this.dead = true;
    this.sender.output.goaway(this.#streams.lastRemote, code, reason);
    this.#events.written();
    this.#events.failed(code, reason);
  }

  /** The peer's doing breaks one stream (RFC 9113 5.4.2). Doing that all the time breaks the connection. */
  #streamError(id: number, code: number) {
    this.#streams.refuse(id, code);
    if (!this.#streams.spendReset(this.#control.now))
      this.broken(ERROR.enhanceYourCalm, 'too many streams broken');
  }

  // --- frames ---

  #onData(bytes: Buffer, start: number, end: number, flags: number, id: number) {
    let from = start;
    let to = end;
    if (id === 0) return this.broken(ERROR.protocol, 'DATA on stream 0');
    if ((flags & FLAG.padded) !== 0) {
      const padding = from < to ? bytes[from]! : 0;
      from += 1;
      if (from + padding > to) return this.broken(ERROR.protocol, 'padding longer than its frame');
      to -= padding;
    }
    const size = end - start;
    if (!this.#windows.take(size)) return this.broken(ERROR.flowControl, 'connection window exceeded');
    const ends = (flags & FLAG.endStream) !== 0;
    if (from === to && !ends && !this.#control.spend()) return;
    const stream = this.#streams.get(id);
    this.#windows.book(stream, size, to - from);
    if (!stream) {
      if (this.#streams.isIdle(id)) return this.broken(ERROR.protocol, 'DATA on an idle stream');
      if (id > this.#streams.lastAccepted || this.#streams.ended(id) === CLOSED_BY.us) return;
      return this.#streamError(id, ERROR.streamClosed);
    }
    if (stream.remoteDone) return this.#streamError(id, ERROR.streamClosed);
    if (!stream.headed) return this.#streamError(id, ERROR.protocol);
    stream.receiveWindow -= size;
    if (stream.receiveWindow < 0) return this.#streamError(id, ERROR.flowControl);
    if (stream.expected >= 0) {
      stream.expected -= to - from;
      if (stream.expected < 0 || (ends && stream.expected > 0)) return this.#streamError(id, ERROR.protocol);
    }
    const { handler } = stream;
    if (size > to - from) this.consume(stream, size - (to - from));
    if (ends) this.#streams.remoteEnd(stream);
    try {
      handler?.data(bytes, from, to, ends);
    } catch (thrown) {
      this.#streams.threw(stream, handler, thrown);
    }
  }

  /** A whole header block. Decoded in any case: the table of the connection depends on it. */
  block(bytes: Buffer, from: number, to: number, id: number, ends: boolean, itself: boolean) {
    if (this.#server && (id & 1) === 0) return this.broken(ERROR.protocol, 'a stream that is not a client’s');
    const { list } = this;
    list.begin(this.#strip);
    if (!this.#decoder.decode(bytes, from, to, list))
      return list.bomb
        ? this.broken(ERROR.enhanceYourCalm, 'header list far too large')
        : this.broken(ERROR.compression, 'malformed header block');
    const stream = this.#streams.get(id);
    if (stream) return this.#further(stream, list, ends);
    if (this.#server && id > this.#streams.lastRemote) return this.#request(list, id, ends, itself);
    if (this.#streams.isIdle(id)) return this.broken(ERROR.protocol, 'HEADERS on a stream nobody opened');
    const how = this.#streams.ended(id);
    if (how === CLOSED_BY.us || id > this.#streams.lastAccepted) return;
    if (how === CLOSED_BY.peer) return this.#streamError(id, ERROR.streamClosed);
    if (how === CLOSED_BY.end) return this.broken(ERROR.streamClosed, 'HEADERS on a closed stream');
    this.broken(ERROR.protocol, 'stream identifiers must grow');
  }

  #request(list: FieldList, id: number, ends: boolean, itself: boolean) {
    this.#streams.lastRemote = id;
    if (id > this.#streams.lastAccepted) return;
    if (this.#streams.count >= this.#limits.streams) return this.#streamError(id, ERROR.refusedStream);
    if (itself) return this.#streamError(id, ERROR.protocol);
    if (!list.overflow && list.requestProblem() !== undefined) return this.#streamError(id, ERROR.protocol);
    if (ends && list.contentLength > 0) return this.#streamError(id, ERROR.protocol);
    const stream = this.#streams.accept(id, this.#peer.window);
    stream.expected = list.contentLength;
    stream.remoteDone = ends;
    try {
      this.#events.request!(stream, list, ends);
    } catch (thrown) {
      this.#streams.threw(stream, stream.handler, thrown);
    }
  }

  #further(stream: Http2Stream, list: FieldList, ends: boolean) {
    const { handler } = stream;
    try {
      this.#section(stream, list, ends);
    } catch (thrown) {
      this.#streams.threw(stream, handler, thrown);
    }
  }

  /** A response, or trailers. */
  #section(stream: Http2Stream, list: FieldList, ends: boolean) {
    const { id, handler } = stream;
    if (stream.remoteDone) return this.#streamError(id, ERROR.streamClosed);
    if (stream.headed) {
      const problem = list.trailersProblem() !== undefined || list.overflow || !ends || stream.expected > 0;
      if (problem) return this.#streamError(id, ERROR.protocol);
      this.#streams.remoteEnd(stream);
      handler?.trailers(list);
      return;
    }
    if (list.responseProblem() !== undefined || list.overflow) return this.#streamError(id, ERROR.protocol);
    if (list.status < 200) {
      if (ends) return this.#streamError(id, ERROR.protocol);
      // Each costs what a frame without content costs, or a server could send them for ever.
      if (this.#control.spend()) handler?.headers(list, false);
      return;
    }
    stream.headed = true;
    if (!stream.bodiless && list.status !== 304) stream.expected = list.contentLength;
    if (ends && stream.expected > 0) return this.#streamError(id, ERROR.protocol);
    if (ends) this.#streams.remoteEnd(stream);
    handler?.headers(list, ends);
  }
}
