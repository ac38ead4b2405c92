/** What a connection sends: at once, at the end of the turn, or when the peer takes it; and the end of it. */
import type { Loop } from './loop.ts';
import type { Late } from './outbox.ts';
import type { Pipe } from './pipes.ts';
import { FAILED, type Socket } from './socket.ts';
import { Outlet } from './splice.ts';
import { WriteQueue } from './write-queue.ts';

/** Bytes that may wait before whoever writes is told so: what Node's own sockets allow. */
const HIGH_WATER = 65_536;

/** Whose bytes they are. */
export interface Sender {
  /** What epoll should tell may have changed. */
  want(): void;
  /** Nothing that is written arrives any more. */
  broken(error: Error | undefined): void;
  /** Our half is closed behind everything that was written, or cannot be. */
  shut(error?: Error): void;
}

export class Sending implements Late {
  readonly #loop: Loop;
  readonly #owner: Sender;
  /** There once it may be written. */
  #socket: Socket | undefined;
  readonly #queue = new WriteQueue();
  /** Before the queue: bytes that were moved here and have not left. */
  readonly #outlet: Outlet;
  #wantsDrain = false;
  /** Written in this turn, and sent at its end. */
  late = 0;
  lateAt = 0;
  /** What is to happen when everything written has left; mute and gone: nothing is written any more. */
  ending: 'no' | 'half' | 'close' | 'mute' | 'gone' = 'no';
  /** We have half-closed. */
  ended = false;

  constructor(loop: Loop, owner: Sender) {
    this.#loop = loop;
    this.#owner = owner;
    this.#outlet = new Outlet(loop.pipes);
  }

  open(socket: Socket): void {
    this.#socket = socket;
  }

  /** Bytes that have been written and have not left. */
  get waiting(): number {
    return this.#queue.size + this.#outlet.held;
  }

  /** There is something to do once the socket takes bytes. */
  get pending(): boolean {
    return this.waiting > 0 || (this.ending !== 'no' && !this.ended);
  }

  /** What is written now goes straight to this socket: nothing is before it, once what was put off has been sent. */
  clear(): Socket | undefined {
    if (this.late > 0) this.sendLate();
    return this.ending === 'no' && this.waiting === 0 ? this.#socket : undefined;
  }

  /** Sends what was put off. */
  sendLate(): void {
    const size = this.late;
    if (size === 0) return;
    this.late = 0;
    const { outbox } = this.#loop;
    const socket = this.#socket!;
    const sent = socket.write(outbox.addressOf(this), size);
    if (sent === size) return;
    if (sent === FAILED) {
      this.#owner.broken(socket.error);
      return;
    }
    this.#queue.push(Buffer.from(outbox.bytesOf(this, sent, size)));
    this.#queued();
  }

  /** The first `count` bytes of what was read last, to a socket that is clear. */
  pass(socket: Socket, count: number): boolean {
    const { input } = this.#loop;
    const sent = socket.write(input.address, count);
    if (sent === FAILED) this.#owner.broken(socket.error);
    if (sent === count || sent === FAILED) return true;
    this.#queue.push(Buffer.from(input.bytes.subarray(sent, count)));
    return this.#queued();
  }

  /** Sends what is in a pipe, which is this connection's from now on, to a socket that is clear. */
  writePipe(pipe: Pipe): boolean {
    this.#outlet.take(pipe);
    if (!this.#sendPipe(this.#socket!) || this.#outlet.held === 0) return true;
    this.#wantsDrain = true;
    this.#owner.want();
    return false;
  }

  /** False: the connection broke. */
  #sendPipe(socket: Socket): boolean {
    const broken = this.#outlet.send(socket);
    if (broken) this.#owner.broken(broken);
    return !broken;
  }

  write(chunk: Buffer): boolean {
    if (this.ending !== 'no') return true;
    let rest = chunk;
    if (this.#socket && this.waiting === 0) {
      if (this.#loop.turning && this.#loop.outbox.put(this, chunk, chunk.length)) return true;
      if (!this.clear()) return this.write(chunk);
      const sent = this.#send(this.#socket, chunk);
      if (sent === chunk.length || sent === FAILED) return true;
      rest = chunk.subarray(sent);
    }
    this.#queue.push(this.#loop.input.keep(rest));
    return this.#queued();
  }

  writeCopy(bytes: Buffer, end: number): boolean {
    if (this.ending !== 'no') return true;
    let sent = 0;
    if (this.#socket && this.waiting === 0) {
      if (this.late > 0 && !this.clear()) return this.writeCopy(bytes, end);
      sent = this.#send(this.#socket, bytes.subarray(0, end));
      if (sent === end || sent === FAILED) return true;
    }
    this.#queue.push(Buffer.from(bytes.subarray(sent, end)));
    return this.#queued();
  }

  writePair(first: Buffer, second: Buffer): boolean {
    const { input, output } = this.#loop;
    const length = first.length + second.length;
    const socket = length > output.size ? undefined : this.clear();
    if (!socket) {
      this.write(first);
      return this.write(second);
    }
    output.bytes.set(first, 0);
    output.bytes.set(second, first.length);
    const sent = socket.write(output.address, length);
    if (sent === FAILED) this.#owner.broken(socket.error);
    if (sent === length || sent === FAILED) return true;
    if (sent < first.length) this.#queue.push(input.keep(first.subarray(sent)));
    this.#queue.push(input.keep(second.subarray(Math.max(0, sent - first.length))));
    return this.#queued();
  }

  /** Sends what it can; returns how much. */
  #send(socket: Socket, chunk: Buffer): number {
    const sent = socket.send(chunk);
    if (sent === FAILED) this.#owner.broken(socket.error);
    return sent;
  }

  #queued(): boolean {
    if (this.#socket) this.#owner.want();
    if (this.waiting < HIGH_WATER) return true;
    this.#wantsDrain = true;
    return false;
  }

  /** Sends what waits, and then closes if that is to happen; true: somebody waits to hear that everything has left. */
  flush(): boolean {
    const socket = this.#socket!;
    const queue = this.#queue;
    const { output } = this.#loop;
    if (this.#outlet.held > 0 && !this.#sendPipe(socket)) return false;
    if (this.#outlet.held > 0) return this.#stopped();
    while (queue.size > 0) {
      const size = queue.peek(output.bytes);
      const count = socket.write(output.address, size);
      if (count === FAILED) {
        this.#owner.broken(socket.error);
        return false;
      }
      queue.take(count);
      if (count < size) return this.#stopped();
    }
    if (this.ending !== 'no') {
      this.#shutdown();
      return false;
    }
    this.#owner.want();
    const wanted = this.#wantsDrain;
    this.#wantsDrain = false;
    return wanted;
  }

  /** The peer does not keep up. */
  #stopped(): false {
    this.#owner.want();
    return false;
  }

  /** Closes our half, or all, behind what has been written and is not put off. */
  end(how: 'half' | 'close'): void {
    this.ending = how;
    if (this.#socket && this.waiting === 0) this.#shutdown();
  }

  /** Everything written has left: closes our half. */
  #shutdown() {
    const socket = this.#socket!;
    if (!this.ended && !socket.shutdown()) {
      if (socket.error) this.#owner.shut(socket.error);
      else this.#owner.want();
      return;
    }
    this.ended = true;
    this.#owner.shut();
  }

  /** What waits is never sent, and nothing more is written. */
  mute(): void {
    this.ending = 'mute';
    this.ended = true;
    this.#queue.clear();
    this.#outlet.drop();
  }

  /** The same for good. What was put off leaves as if it had when it was written: how that goes is of no matter any more. */
  drop(): void {
    if (this.late > 0) this.#socket!.write(this.#loop.outbox.addressOf(this), this.late);
    this.late = 0;
    this.mute();
    this.ending = 'gone';
  }
}
