/**
 * One HTTP/2 connection (RFC 9113) as a state machine: bytes in, events out; actions in, bytes out. It knows no socket
 * and no clock: whoever owns it passes the time in and takes `sender.output` away.
 */
import { Budget } from './budget.ts';
import { CLOSED_BY, ClosedStreams } from './closed.ts';
import { DEFAULT_WINDOW, ERROR, FLAG, FRAME, FRAME_SIZE, MAX_WINDOW, PREFACE, SETTING } from './frames.ts';
import { HpackDecoder } from './hpack-decoder.ts';
import type { Http2Limits } from './limits.ts';
import { FieldList } from './list.ts';
import { type FrameEvents, FrameReader } from './reader.ts';
import { Sender } from './sender.ts';
import { Http2Stream, type StreamHandler } from './stream.ts';

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
}

const PING_DATA = Buffer.from('weir-h2\0', 'latin1');
/** Until the peer says otherwise (RFC 9113 6.5.2 recommends no less). */
const ASSUMED_STREAMS = 100;

export class Http2Connection implements FrameEvents {
  readonly sender: Sender;
  /** Fields of the last block. */
  readonly list: FieldList;
  readonly #server: boolean;
  readonly #events: ConnectionEvents;
  readonly #limits: Http2Limits;
  readonly #strip: boolean;
  readonly #decoder = new HpackDecoder();
  readonly #streams = new Map<number, Http2Stream>();
  readonly #closed = new ClosedStreams();
  readonly #resets: Budget;
  readonly #cancelled = new Set<Http2Stream>();
  readonly #control: Budget;
  #now = 0;
  /** Nothing is read any more. */
  dead = false;
  /** The peer has said GOAWAY. */
  leaving = false;
  /** SETTINGS_MAX_CONCURRENT_STREAMS of the peer. */
  peerStreams = ASSUMED_STREAMS;
  #peerWindow = DEFAULT_WINDOW;
  #receiveWindow: number;
  #credit = 0;
  #lastRemote = 0;
  #nextLocal = 1;
  /** Streams above this are ignored after our GOAWAY. */
  #lastAccepted = MAX_WINDOW;
  readonly #reader: FrameReader;

  /** `strip`: see FieldList. */
  constructor(role: 'client' | 'server', events: ConnectionEvents, limits: Http2Limits, strip: boolean) {
    this.#server = role === 'server';
    this.#events = events;
    this.#limits = limits;
    this.#strip = strip;
    this.list = new FieldList(limits);
    this.#resets = new Budget(...limits.resets);
    this.#control = new Budget(...limits.control);
    this.#receiveWindow = limits.connectionWindow;
    this.#reader = new FrameReader(this, limits, this.#server);
    this.sender = new Sender(limits.backlog, {
      written: () => events.written(),
      ended: (stream) => this.#localEnd(stream),
      giveUp: (stream) => this.#giveUp(stream, ERROR.enhanceYourCalm),
    });
    const { output } = this.sender;
    if (!this.#server) {
      output.reserve(PREFACE.length);
      output.raw(PREFACE, 0, PREFACE.length);
    }
    output.settings([
      this.#server ? [SETTING.maxConcurrentStreams, limits.streams] : [SETTING.enablePush, 0],
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
    return this.#streams.size;
  }

  /** Client role: whether another request can be sent. */
  get canOpen(): boolean {
    return (
      !this.dead && !this.leaving && this.#streams.size < this.peerStreams && this.#nextLocal < MAX_WINDOW - 2
    );
  }

  // --- actions ---

  /** Client role: a new stream for one request. */
  open(handler: StreamHandler, bodiless: boolean): Http2Stream {
    const stream = new Http2Stream(this.#nextLocal, this.#peerWindow, this.#limits.responseWindow);
    stream.handler = handler;
    stream.bodiless = bodiless;
    this.#nextLocal += 2;
    this.#streams.set(stream.id, stream);
    return stream;
  }

  /** `bytes` of a stream's body have been passed on: the peer may send as much again. */
  consume(stream: Http2Stream, bytes: number) {
    if (this.#server) {
      const taken = Math.min(bytes, stream.unconsumed);
      stream.unconsumed -= taken;
      this.#credit += taken;
    }
    if (this.#credit > 0) this.#replenish();
    if (stream.remoteDone || stream.closed) return;
    stream.credit += bytes;
    if (stream.credit < stream.window / 2) return;
    // Whoever keeps up gets more at a time; for others no more waits here than the first window.
    if (stream.receiveWindow + stream.credit === stream.window && stream.window < this.#limits.fastWindow) {
      stream.credit += stream.window;
      stream.window *= 2;
    }
    this.sender.output.windowUpdate(stream.id, stream.credit);
    stream.receiveWindow += stream.credit;
    stream.credit = 0;
    this.#events.written();
  }

  /**
   * Client role: ends a stream whose answer nobody wants. A server cuts off whoever resets too many, and with it the
   * requests of all others on this connection; beyond that a stream is left where its window ends, until there is room.
   */
  cancel(stream: Http2Stream) {
    if (stream.closed) return;
    stream.handler = undefined;
    this.#cancelled.add(stream);
    this.cancelMore(this.#now);
  }

  /** Something on a stream ended well that goes on: one more may be broken. */
  earn() {
    this.#resets.earn(1);
  }

  /** Resets those that were left, as far as there is room. */
  cancelMore(now: number) {
    for (const stream of this.#cancelled) {
      if (!stream.closed && !this.#resets.spend(now)) return;
      this.#cancelled.delete(stream);
      this.reset(stream, ERROR.cancel);
    }
  }

  /** Ends a stream at once. Its handler is not told. */
  reset(stream: Http2Stream, code: number) {
    if (stream.closed) return;
    stream.handler = undefined;
    this.sender.output.rstStream(stream.id, code);
    this.#remove(stream, CLOSED_BY.us);
    this.#events.written();
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
    this.#lastAccepted = this.#lastRemote;
    this.sender.output.goaway(this.#lastRemote, ERROR.none, '');
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
    for (const stream of [...this.#streams.values()]) this.#break(stream, ERROR.cancel, 'connection', false);
  }

  /** Resets the streams whose peer has taken nothing for `milliseconds` although something waits for it. */
  resetStalled(now: number, milliseconds: number) {
    for (const stream of [...this.sender.waiting]) {
      if (now - stream.waitingSince >= milliseconds) this.#giveUp(stream, ERROR.cancel);
    }
  }

  /** Ends a stream whose peer does not take what waits for it. */
  #giveUp(stream: Http2Stream, code: number) {
    this.sender.output.rstStream(stream.id, code);
    this.#events.written();
    this.#break(stream, code, 'self', false);
  }

  // --- bytes in ---

  /** Bytes as they come, in whatever pieces. `now` in milliseconds. */
  receive(chunk: Buffer, now: number) {
    this.#now = now;
    this.#reader.read(chunk);
    if (this.#cancelled.size > 0) this.cancelMore(now);
  }

  frame(type: number, flags: number, id: number, bytes: Buffer, from: number, to: number) {
    switch (type) {
      case FRAME.data:
        return this.#onData(bytes, from, to, flags, id);
      case FRAME.windowUpdate:
        return this.#onWindowUpdate(bytes, from, to - from, id);
      case FRAME.rstStream:
        return this.#onReset(bytes, from, to - from, id);
      case FRAME.settings:
        return this.#onSettings(bytes, from, to, flags, id);
      case FRAME.ping:
        return this.#onPing(bytes, from, to - from, flags, id);
      case FRAME.goaway:
        return this.#onGoaway(bytes, from, to - from, id);
      case FRAME.priority:
        return this.#onPriority(bytes, from, to - from, id);
      case FRAME.pushPromise:
        // A client must not push, and we have told servers not to.
        return this.broken(ERROR.protocol, 'PUSH_PROMISE');
      default:
        this.#spend();
    }
  }

  // --- what is wrong ---

  /** The peer broke the protocol, or we cannot go on with it: GOAWAY, and nothing is read any more. */
  broken(code: number, reason: string) {
    if (this.dead) return;
    this.dead = true;
    this.sender.output.goaway(this.#lastRemote, code, reason);
    this.#events.written();
    this.#events.failed(code, reason);
  }

  /** A frame that carries nothing was sent; false when there were too many. */
  #spend(): boolean {
    if (this.#control.spend(this.#now)) return true;
    this.broken(ERROR.enhanceYourCalm, 'too many control frames');
    return false;
  }

  /** The peer's doing breaks one stream (RFC 9113 5.4.2). Doing that all the time breaks the connection. */
  #streamError(id: number, code: number) {
    this.sender.output.rstStream(id, code);
    this.#events.written();
    const stream = this.#streams.get(id);
    if (stream) this.#break(stream, code, 'self', false);
    else this.#closed.add(id, CLOSED_BY.us);
    if (!this.#resets.spend(this.#now)) this.broken(ERROR.enhanceYourCalm, 'too many streams broken');
  }

  #break(stream: Http2Stream, code: number, by: 'peer' | 'self' | 'connection', unprocessed: boolean) {
    const { handler } = stream;
    stream.handler = undefined;
    this.#remove(stream, by === 'peer' ? CLOSED_BY.peer : CLOSED_BY.us);
    handler?.reset(code, by, unprocessed);
  }

  /** Opens the window of the connection again. */
  #replenish() {
    if (this.#credit < this.#limits.connectionWindow / 2) return;
    this.sender.output.windowUpdate(0, this.#credit);
    this.#receiveWindow += this.#credit;
    this.#credit = 0;
    this.#events.written();
  }

  #remove(stream: Http2Stream, how: number) {
    if (stream.closed) return;
    stream.closed = true;
    this.#credit += stream.unconsumed;
    stream.unconsumed = 0;
    this.#replenish();
    if (how === CLOSED_BY.end) this.#resets.earn(1);
    if (stream.waiting) this.sender.forget(stream);
    this.#streams.delete(stream.id);
    this.#closed.add(stream.id, how);
    if (this.#streams.size === 0) this.#events.idle();
  }

  #localEnd(stream: Http2Stream) {
    stream.localDone = true;
    if (stream.remoteDone) this.#remove(stream, CLOSED_BY.end);
  }

  #remoteEnd(stream: Http2Stream) {
    stream.remoteDone = true;
    if (stream.localDone) this.#remove(stream, CLOSED_BY.end);
  }

  /** Whether no frame but HEADERS or PRIORITY may name this stream yet. */
  #isIdle(id: number): boolean {
    const theirs = (id & 1) === (this.#server ? 1 : 0);
    return theirs ? id > this.#lastRemote : id >= this.#nextLocal;
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
    this.#receiveWindow -= size;
    if (this.#receiveWindow < 0) return this.broken(ERROR.flowControl, 'connection window exceeded');
    const ends = (flags & FLAG.endStream) !== 0;
    if (from === to && !ends && !this.#spend()) return;
    const stream = this.#streams.get(id);
    // A server's connection serves many clients, and one that does not read must not hold up the others: the window of
    // the connection opens at once. A client holds up itself alone: it opens with what has been passed on.
    const held = this.#server && stream && !stream.remoteDone ? to - from : 0;
    this.#credit += size - held;
    if (held > 0) stream!.unconsumed += held;
    this.#replenish();
    if (!stream) {
      if (this.#isIdle(id)) return this.broken(ERROR.protocol, 'DATA on an idle stream');
      if (id > this.#lastAccepted || this.#closed.how(id) === CLOSED_BY.us) return;
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
    if (ends) this.#remoteEnd(stream);
    handler?.data(bytes, from, to, ends);
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
    if (this.#server && id > this.#lastRemote) return this.#request(list, id, ends, itself);
    if (this.#isIdle(id)) return this.broken(ERROR.protocol, 'HEADERS on a stream nobody opened');
    const how = this.#closed.how(id);
    if (how === CLOSED_BY.us || id > this.#lastAccepted) return;
    if (how === CLOSED_BY.peer) return this.#streamError(id, ERROR.streamClosed);
    if (how === CLOSED_BY.end) return this.broken(ERROR.streamClosed, 'HEADERS on a closed stream');
    this.broken(ERROR.protocol, 'stream identifiers must grow');
  }

  #request(list: FieldList, id: number, ends: boolean, itself: boolean) {
    this.#lastRemote = id;
    if (id > this.#lastAccepted) return;
    if (this.#streams.size >= this.#limits.streams) return this.#streamError(id, ERROR.refusedStream);
    if (itself) return this.#streamError(id, ERROR.protocol);
    if (!list.overflow && list.requestProblem() !== undefined) return this.#streamError(id, ERROR.protocol);
    if (ends && list.contentLength > 0) return this.#streamError(id, ERROR.protocol);
    const stream = new Http2Stream(id, this.#peerWindow, this.#limits.streamWindow);
    stream.headed = true;
    stream.expected = list.contentLength;
    stream.remoteDone = ends;
    this.#streams.set(id, stream);
    this.#events.request!(stream, list, ends);
  }

  /** A response, or trailers. */
  #further(stream: Http2Stream, list: FieldList, ends: boolean) {
    const { id, handler } = stream;
    if (stream.remoteDone) return this.#streamError(id, ERROR.streamClosed);
    if (stream.headed) {
      const problem = list.trailersProblem() !== undefined || list.overflow || !ends || stream.expected > 0;
      if (problem) return this.#streamError(id, ERROR.protocol);
      this.#remoteEnd(stream);
      handler?.trailers(list);
      return;
    }
    if (list.responseProblem() !== undefined || list.overflow) return this.#streamError(id, ERROR.protocol);
    if (list.status < 200) {
      if (ends) return this.#streamError(id, ERROR.protocol);
      // Each costs what a frame without content costs, or a server could send them for ever.
      if (this.#spend()) handler?.headers(list, false);
      return;
    }
    stream.headed = true;
    if (!stream.bodiless && list.status !== 304) stream.expected = list.contentLength;
    if (ends && stream.expected > 0) return this.#streamError(id, ERROR.protocol);
    if (ends) this.#remoteEnd(stream);
    handler?.headers(list, ends);
  }

  #onWindowUpdate(bytes: Buffer, from: number, length: number, id: number) {
    if (length !== 4) return this.broken(ERROR.frameSize, 'WINDOW_UPDATE of a wrong length');
    // What it has received entitles the peer to say so.
    this.#control.earn(2 * this.sender.takeDataFrames());
    if (!this.#spend()) return;
    const increment = bytes.readUInt32BE(from) & MAX_WINDOW;
    if (id === 0) {
      if (increment === 0) return this.broken(ERROR.protocol, 'window increment of 0');
      if (!this.sender.grow(increment)) return this.broken(ERROR.flowControl, 'connection window too large');
    } else {
      const stream = this.#streams.get(id);
      if (!stream) {
        if (this.#isIdle(id)) this.broken(ERROR.protocol, 'WINDOW_UPDATE on an idle stream');
        return;
      }
      if (increment === 0) return this.#streamError(id, ERROR.protocol);
      stream.sendWindow += increment;
      if (stream.sendWindow > MAX_WINDOW) return this.#streamError(id, ERROR.flowControl);
    }
    this.sender.pump(this.#now);
  }

  #onReset(bytes: Buffer, from: number, length: number, id: number) {
    if (length !== 4) return this.broken(ERROR.frameSize, 'RST_STREAM of a wrong length');
    if (id === 0 || this.#isIdle(id)) return this.broken(ERROR.protocol, 'RST_STREAM on an idle stream');
    const code = bytes.readUInt32BE(from);
    const stream = this.#streams.get(id);
    // CVE-2023-44487: opening and resetting costs the peer nothing and us a request.
    if (this.#server ? !this.#resets.spend(this.#now) : !stream && !this.#control.spend(this.#now))
      return this.broken(ERROR.enhanceYourCalm, 'too many streams reset');
    if (stream) this.#break(stream, code, 'peer', code === ERROR.refusedStream);
  }

  #onPriority(bytes: Buffer, from: number, length: number, id: number) {
    if (id === 0) return this.broken(ERROR.protocol, 'PRIORITY on stream 0');
    if (!this.#spend()) return;
    if (length !== 5) return this.#streamError(id, ERROR.frameSize);
    if ((bytes.readUInt32BE(from) & MAX_WINDOW) === id) this.#streamError(id, ERROR.protocol);
  }

  #onSettings(bytes: Buffer, from: number, to: number, flags: number, id: number) {
    if (id !== 0) return this.broken(ERROR.protocol, 'SETTINGS on a stream');
    const acknowledges = (flags & FLAG.ack) !== 0;
    if ((acknowledges && to > from) || (to - from) % 6 !== 0)
      return this.broken(ERROR.frameSize, 'SETTINGS of a wrong length');
    if (!this.#spend() || acknowledges) return;
    for (let at = from; at < to; at += 6) {
      if (!this.#setting(bytes.readUInt16BE(at), bytes.readUInt32BE(at + 2))) return;
    }
    this.sender.output.settingsAck();
    this.#events.written();
    this.#events.settings?.();
    this.sender.pump(this.#now);
  }

  /** False: the connection is broken. */
  #setting(id: number, value: number): boolean {
    switch (id) {
      case SETTING.headerTableSize:
        this.sender.encoder.limit(value);
        break;
      case SETTING.enablePush:
        if (value > 1 || (!this.#server && value === 1)) this.broken(ERROR.protocol, 'invalid ENABLE_PUSH');
        break;
      case SETTING.maxConcurrentStreams:
        this.peerStreams = value;
        break;
      case SETTING.initialWindowSize: {
        if (value > MAX_WINDOW) {
          this.broken(ERROR.flowControl, 'initial window too large');
          break;
        }
        const change = value - this.#peerWindow;
        this.#peerWindow = value;
        for (const stream of this.#streams.values()) {
          stream.sendWindow += change;
          if (stream.sendWindow > MAX_WINDOW) this.broken(ERROR.flowControl, 'window too large');
        }
        break;
      }
      case SETTING.maxFrameSize:
        if (value < FRAME_SIZE || value > 0xff_ffff) this.broken(ERROR.protocol, 'invalid MAX_FRAME_SIZE');
        break;
    }
    return !this.dead;
  }

  #onPing(bytes: Buffer, from: number, length: number, flags: number, id: number) {
    if (id !== 0) return this.broken(ERROR.protocol, 'PING on a stream');
    if (length !== 8) return this.broken(ERROR.frameSize, 'PING of a wrong length');
    this.#control.earn(2 * this.sender.takeDataFrames());
    if (!this.#spend()) return;
    if ((flags & FLAG.ack) !== 0) return this.#events.pong?.();
    this.sender.output.ping(FLAG.ack, bytes, from);
    this.#events.written();
  }

  #onGoaway(bytes: Buffer, from: number, length: number, id: number) {
    if (id !== 0) return this.broken(ERROR.protocol, 'GOAWAY on a stream');
    if (length < 8) return this.broken(ERROR.frameSize, 'GOAWAY of a wrong length');
    if (!this.#spend()) return;
    this.leaving = true;
    const last = bytes.readUInt32BE(from) & MAX_WINDOW;
    this.#events.goaway?.(bytes.readUInt32BE(from + 4));
    if (this.#server) return;
    for (const stream of [...this.#streams.values()])
      if (stream.id > last) this.#break(stream, ERROR.refusedStream, 'peer', true);
  }
}
