import { Budget } from './budget.ts';
import type { ConnectionEvents } from './connection.ts';
import { ERROR, FLAG, FRAME, MAX_WINDOW } from './frames.ts';
import type { Http2Limits } from './limits.ts';
import type { PeerSettings } from './peer-settings.ts';
import type { Sender } from './sender.ts';
import type { Streams } from './streams.ts';

/** What the frames of a connection act on. */
interface Parts {
  sender: Sender;
  streams: Streams;
  peer: PeerSettings;
  events: Pick<ConnectionEvents, 'written' | 'settings' | 'goaway' | 'pong'>;
  /** The peer broke the protocol, or does too much of it. */
  broken(code: number, reason: string): void;
  /** … on one stream. */
  streamError(id: number, code: number): void;
  /** The peer has said GOAWAY. */
  leaving(): void;
}

/** Frames that carry no part of a message (RFC 9113 6.3 to 6.9): what they ask for, and how many of them there may be. */
export class ControlFrames {
  /** Milliseconds, when what is being read came. */
  now = 0;
  readonly #server: boolean;
  readonly #parts: Parts;
  readonly #budget: Budget;

  constructor(server: boolean, limits: Http2Limits, parts: Parts) {
    this.#server = server;
    this.#parts = parts;
    this.#budget = new Budget(...limits.control);
  }

  /** A frame that carries nothing was sent; false when there were too many. */
  spend(): boolean {
    if (this.#budget.spend(this.now)) return true;
    this.#parts.broken(ERROR.enhanceYourCalm, 'too many control frames');
    return false;
  }

  frame(type: number, flags: number, id: number, bytes: Buffer, from: number, to: number) {
    switch (type) {
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
      default:
        this.spend();
    }
  }

  #onWindowUpdate(bytes: Buffer, from: number, length: number, id: number) {
    const { sender, streams, broken } = this.#parts;
    if (length !== 4) return broken(ERROR.frameSize, 'WINDOW_UPDATE of a wrong length');
    // What it has received entitles the peer to say so.
    this.#budget.earn(2 * sender.takeDataFrames());
    if (!this.spend()) return;
    const increment = bytes.readUInt32BE(from) & MAX_WINDOW;
    if (id === 0) {
      if (increment === 0) return broken(ERROR.protocol, 'window increment of 0');
      if (!sender.grow(increment)) return broken(ERROR.flowControl, 'connection window too large');
    } else {
      const stream = streams.get(id);
      if (!stream) {
        if (streams.isIdle(id)) broken(ERROR.protocol, 'WINDOW_UPDATE on an idle stream');
        return;
      }
      if (increment === 0) return this.#parts.streamError(id, ERROR.protocol);
      stream.sendWindow += increment;
      if (stream.sendWindow > MAX_WINDOW) return this.#parts.streamError(id, ERROR.flowControl);
    }
    sender.pump(this.now);
  }

  #onReset(bytes: Buffer, from: number, length: number, id: number) {
    const { streams, broken } = this.#parts;
    if (length !== 4) return broken(ERROR.frameSize, 'RST_STREAM of a wrong length');
    if (id === 0 || streams.isIdle(id)) return broken(ERROR.protocol, 'RST_STREAM on an idle stream');
    const code = bytes.readUInt32BE(from);
    const stream = streams.get(id);
    // CVE-2023-44487: opening and resetting costs the peer nothing and us a request.
    if (this.#server ? !streams.spendReset(this.now) : !stream && !this.#budget.spend(this.now))
      return broken(ERROR.enhanceYourCalm, 'too many streams reset');
    if (stream) streams.break(stream, code, 'peer', code === ERROR.refusedStream);
  }

  #onPriority(bytes: Buffer, from: number, length: number, id: number) {
    const { broken, streamError } = this.#parts;
    if (id === 0) return broken(ERROR.protocol, 'PRIORITY on stream 0');
    if (!this.spend()) return;
    if (length !== 5) return streamError(id, ERROR.frameSize);
    if ((bytes.readUInt32BE(from) & MAX_WINDOW) === id) streamError(id, ERROR.protocol);
  }

  #onSettings(bytes: Buffer, from: number, to: number, flags: number, id: number) {
    const { sender, streams, peer, events, broken } = this.#parts;
    if (id !== 0) return broken(ERROR.protocol, 'SETTINGS on a stream');
    const acknowledges = (flags & FLAG.ack) !== 0;
    if ((acknowledges && to > from) || (to - from) % 6 !== 0)
      return broken(ERROR.frameSize, 'SETTINGS of a wrong length');
    if (!this.spend() || acknowledges) return;
    const problem = peer.read(bytes, from, to, {
      server: this.#server,
      encoder: sender.encoder,
      open: streams.all(),
    });
    if (problem) return broken(problem.code, problem.reason);
    sender.output.settingsAck();
    events.written();
    events.settings?.();
    sender.pump(this.now);
  }

  #onPing(bytes: Buffer, from: number, length: number, flags: number, id: number) {
    const { sender, events, broken } = this.#parts;
    if (id !== 0) return broken(ERROR.protocol, 'PING on a stream');
    if (length !== 8) return broken(ERROR.frameSize, 'PING of a wrong length');
    this.#budget.earn(2 * sender.takeDataFrames());
    if (!this.spend()) return;
    if ((flags & FLAG.ack) !== 0) return events.pong?.();
    sender.output.ping(FLAG.ack, bytes, from);
    events.written();
  }

  #onGoaway(bytes: Buffer, from: number, length: number, id: number) {
    const { streams, events, broken } = this.#parts;
    if (id !== 0) return broken(ERROR.protocol, 'GOAWAY on a stream');
    if (length < 8) return broken(ERROR.frameSize, 'GOAWAY of a wrong length');
    if (!this.spend()) return;
    this.#parts.leaving();
    const last = bytes.readUInt32BE(from) & MAX_WINDOW;
    events.goaway?.(bytes.readUInt32BE(from + 4));
    if (!this.#server) streams.unprocessed(last);
  }
}
