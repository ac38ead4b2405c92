import { Buffer } from 'node:buffer';
import { NOBODY } from '../nobody.ts';
import { sameMachine } from '../original-destination.ts';
import { LEAST, MOST, portionAfter, SHARE } from '../portion.ts';
import type { Address, Connection, ConnectionHandler } from '../types.ts';
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLNONE, EPOLLOUT } from './libc.ts';
import type { Loop, Watch } from './loop.ts';
import type { Late } from './outbox.ts';
import type { Pipe } from './pipes.ts';
import { AGAIN, FAILED, REFUSED, type Socket } from './socket.ts';
import { Outlet, Passage } from './splice.ts';
import { WriteQueue } from './write-queue.ts';

/** Bytes that may wait before whoever writes is told so: what Node's own sockets allow. */
const HIGH_WATER = 65_536;
/** Reads of one connection in a turn, so that others have theirs. */
const READS = 4;

/** One connection of the reactor: bytes both ways, half-close, back-pressure. Events never come from inside a call. */
export class ReactorConnection implements Connection, Watch, Late {
  handler: ConnectionHandler;
  peerIdentity: string | undefined;
  alpn: string | undefined;
  readonly secure: boolean;
  /** The descriptor, while the connection is being accepted. */
  fd = -1;
  /** Begins TLS on the socket of this connection, where its listener offers that. */
  terminate:
    | ((first: Buffer, done: Parameters<NonNullable<Connection['startTls']>>[1]) => { destroy(): void })
    | undefined;
  /** What has become of it with TLS. */
  #inside: { destroy(): void } | undefined;
  readonly #loop: Loop;
  readonly #queue = new WriteQueue();
  /** What goes on before there is an open socket. */
  #establishing: { cancel(): void } | undefined;
  /** There once it may be read and written. */
  #socket: Socket | undefined;
  #paused = false;
  /** The peer has half-closed. */
  #readEnded = false;
  /** What is to happen when everything written has left. */
  #ending: 'no' | 'half' | 'close' | 'mute' = 'no';
  /** We have half-closed. */
  #shut = false;
  #wantsDrain = false;
  /** Written in this turn, and sent at its end. */
  late = 0;
  lateAt = 0;
  /** Before the queue: bytes that were moved here and have not left. */
  readonly #outlet: Outlet;
  /** Bytes that are read and handled at a time. */
  #portion = MOST;
  /** Where what comes in may go unseen. */
  #passing: Passage<ReactorConnection> | undefined;
  #dead = false;
  #error: Error | undefined;

  constructor(loop: Loop, handler: ConnectionHandler = NOBODY, secure = false) {
    this.#loop = loop;
    this.handler = handler;
    this.secure = secure;
    this.#outlet = new Outlet(loop.pipes);
  }

  get dead(): boolean {
    return this.#dead;
  }

  /** `establishing` is called off if the connection goes before `open`. */
  begin(establishing: { cancel(): void }): void {
    if (this.#dead) establishing.cancel();
    else this.#establishing = establishing;
  }

  /** The socket is ready for bytes; only of one that was dialled is the handler told. */
  open(socket: Socket, dialled: boolean): void {
    // Called off by whoever accepted it: the socket was not its to close yet.
    if (this.#dead) {
      socket.close();
      return;
    }
    this.#establishing = undefined;
    this.#socket = socket;
    socket.watch = this;
    if (dialled) this.handler.open?.();
    if (this.#dead) return;
    this.#flush();
    if (this.#dead) return;
    this.#want();
    if (socket.pending) this.#loop.again(socket);
  }

  ready(events: number): void {
    const socket = this.#socket!;
    const broken = (events & (EPOLLERR | EPOLLHUP)) !== 0;
    if ((events & EPOLLOUT) !== 0 || (broken && this.#waiting > 0)) {
      this.#flush();
      if (this.#dead) return;
    }
    if (this.#ending === 'mute') this.#readLast(socket);
    else if ((events & EPOLLIN) !== 0 || broken || socket.crossed) this.#read(socket, broken);
  }

  /** What came before the connection broke. */
  #readLast(socket: Socket) {
    if (this.#paused) return this.#want();
    for (let n = 0; n < READS; n += 1) {
      const count = socket.read(MOST);
      if (count <= 0) return this.destroy(this.#error);
      this.#give(this.#loop.input.bytes.subarray(0, count));
      if (this.#dead || this.#paused) return;
    }
    this.#loop.again(socket);
  }

  #read(socket: Socket, broken: boolean) {
    if (this.#readEnded && broken) return this.destroy(this.#loop.socketError(socket.fd));
    // Nobody wants to know now: the set tells of it again and again, so it is asked not to.
    if (this.#paused || this.#readEnded) return this.#want();
    const { bytes } = this.#loop.input;
    let spent = 0;
    for (let n = 0; n < READS; n += 1) {
      const size = this.#portion;
      if (this.#passing?.bulk) {
        const how = this.#move(socket, this.#passing);
        if (how === 'over') return;
        if (how === 'on') continue;
      }
      const count = socket.read(size);
      if (count === AGAIN) return this.#want();
      if (count === FAILED) return this.destroy(socket.error);
      if (count === 0) return this.#readEnd();
      const passage = this.#passing;
      const unseen = passage?.holds(count) === true && passage.to.#clear();
      if (passage?.passed(count) === false) this.#passing = undefined;
      const began = count < LEAST ? 0 : performance.now();
      if (unseen) this.#pass(passage.to, count);
      else this.#give(bytes.subarray(0, count));
      const took = count < LEAST ? 0 : performance.now() - began;
      if (took > 0) this.#portion = portionAfter(size, count, took);
      if (this.#dead || this.#paused) return;
      spent += took;
      if ((count < size && !socket.pending) || spent > SHARE) break;
    }
    if (socket.pending) this.#loop.again(socket);
    else if (socket.crossed) this.#want();
  }

  #give(chunk: Buffer): void {
    try {
      this.handler.data(chunk);
    } catch (thrown) {
      // An error in handling one connection ends that connection and nothing else.
      this.destroy(thrown as Error);
    }
  }

  /** Writes what was read on to where it may go. */
  #pass(to: ReactorConnection, count: number): void {
    const { input } = this.#loop;
    const sent = to.#socket!.write(input.address, count);
    let more = true;
    if (sent === FAILED) to.#mute();
    else if (sent < count) {
      to.#queue.push(Buffer.from(input.bytes.subarray(sent, count)));
      more = to.#queued();
    }
    this.#tell(count, more);
  }

  #tell(count: number, more: boolean): void {
    try {
      this.handler.moved?.(count, more);
    } catch (thrown) {
      this.destroy(thrown as Error);
    }
  }

  /** Moves what has come to where it may go: on with the next, over for this time, or it has to be read. */
  #move(socket: Socket, passage: Passage<ReactorConnection>): 'on' | 'over' | 'read' {
    const { to } = passage;
    const pipe = to.#clear() && !to.#socket!.tls ? this.#loop.pipes.borrow() : undefined;
    if (!pipe) return 'read';
    const count = passage.fill(pipe, socket);
    if (count <= 0) {
      this.#loop.pipes.giveBack(pipe);
      if (count === REFUSED) {
        this.#passing = undefined;
        return 'read';
      }
      if (count === AGAIN) this.#want();
      else if (count === FAILED) this.destroy(socket.error);
      else this.#readEnd();
      return 'over';
    }
    if (!passage.passed(count)) this.#passing = undefined;
    const more = to.#writePipe(pipe);
    this.#tell(count, more);
    return this.#dead || this.#paused || this.#passing !== passage || !passage.bulk ? 'over' : 'on';
  }

  #readEnd() {
    this.#readEnded = true;
    this.#want();
    this.handler.end();
    if (this.#shut) this.destroy();
  }

  /** What epoll should tell. */
  #want(): void {
    if (this.#dead || !this.#socket) return;
    // After the end of what the peer sends, only its reset is news.
    const read = this.#readEnded ? EPOLLNONE : this.#paused ? 0 : EPOLLIN;
    const write =
      this.#waiting > 0 || this.#socket.crossed || (this.#ending !== 'no' && !this.#shut) ? EPOLLOUT : 0;
    this.#socket.want(read | write);
  }

  // --- writing ---

  /** Bytes that have been written and have not left. */
  get #waiting(): number {
    return this.#queue.size + this.#outlet.held;
  }

  /** What is written here goes straight to the socket: nothing is before it. */
  get #ready(): boolean {
    return !this.#dead && this.#ending === 'no' && this.#socket !== undefined && this.#waiting === 0;
  }

  /** The same, once what was put off has been sent. */
  #clear(): boolean {
    if (this.late > 0) this.sendLate();
    return this.#ready;
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
      this.#mute();
      return;
    }
    this.#queue.push(Buffer.from(outbox.bytesOf(this, sent, size)));
    this.#queued();
  }

  /** Sends what is in a pipe, which is this connection's from now on. */
  #writePipe(pipe: Pipe): boolean {
    this.#outlet.take(pipe);
    if (!this.#sendPipe(this.#socket!) || this.#outlet.held === 0) return true;
    this.#wantsDrain = true;
    this.#want();
    return false;
  }

  /** False: the connection broke. */
  #sendPipe(socket: Socket): boolean {
    const broken = this.#outlet.send(socket);
    if (broken) this.#mute(broken);
    return !broken;
  }

  write(chunk: Buffer): boolean {
    if (this.#dead || this.#ending !== 'no') return true;
    let rest = chunk;
    if (this.#socket && this.#waiting === 0) {
      if (this.#loop.turning && this.#loop.outbox.put(this, chunk, chunk.length)) return true;
      if (!this.#clear()) return this.write(chunk);
      const sent = this.#send(this.#socket, chunk);
      if (sent === chunk.length || sent === FAILED) return true;
      rest = chunk.subarray(sent);
    }
    this.#queue.push(this.keep(rest));
    return this.#queued();
  }

  writeCopy(bytes: Buffer, end: number): boolean {
    if (this.#dead || this.#ending !== 'no') return true;
    let sent = 0;
    if (this.#socket && this.#waiting === 0) {
      if (this.late > 0 && !this.#clear()) return this.writeCopy(bytes, end);
      sent = this.#send(this.#socket, bytes.subarray(0, end));
      if (sent === end || sent === FAILED) return true;
    }
    this.#queue.push(Buffer.from(bytes.subarray(sent, end)));
    return this.#queued();
  }

  writePair(first: Buffer, second: Buffer): boolean {
    const { output } = this.#loop;
    const length = first.length + second.length;
    if (length > output.size || !this.#socket || !this.#clear()) {
      this.write(first);
      return this.write(second);
    }
    if (this.#dead || this.#ending !== 'no') return true;
    output.bytes.set(first, 0);
    output.bytes.set(second, first.length);
    const sent = this.#socket.write(output.address, length);
    if (sent === FAILED) this.#mute();
    if (sent === length || sent === FAILED) return true;
    if (sent < first.length) this.#queue.push(this.keep(first.subarray(sent)));
    this.#queue.push(this.keep(second.subarray(Math.max(0, sent - first.length))));
    return this.#queued();
  }

  /** Sends what it can; returns how much. */
  #send(socket: Socket, chunk: Buffer): number {
    const sent = socket.send(chunk);
    if (sent === FAILED) this.#mute();
    return sent;
  }

  /**
   * Nothing that is written arrives any more. What the peer has said before may still be read: a server that answers an upload
   * early and closes is heard, and not taken for one that broke off.
   */
  #mute(error = this.#socket!.error) {
    const socket = this.#socket!;
    const listens = !this.#readEnded && !this.#paused && this.#ending !== 'close';
    if (!listens || socket.tls) return this.destroy(error);
    this.#ending = 'mute';
    this.#shut = true;
    this.#error = error;
    this.#queue.clear();
    this.#outlet.drop();
    this.#passing = undefined;
    this.#want();
    this.#loop.again(socket);
  }

  #queued(): boolean {
    if (this.#socket) this.#want();
    if (this.#waiting < HIGH_WATER) return true;
    this.#wantsDrain = true;
    return false;
  }

  #flush() {
    const socket = this.#socket!;
    const queue = this.#queue;
    const { output } = this.#loop;
    if (this.#outlet.held > 0 && !this.#sendPipe(socket)) return;
    if (this.#outlet.held > 0) return this.#want();
    while (queue.size > 0) {
      const size = queue.peek(output.bytes);
      const count = socket.write(output.address, size);
      if (count === FAILED) return this.#mute();
      queue.take(count);
      if (count < size) return this.#want();
    }
    if (this.#ending !== 'no') return this.#shutdown();
    this.#want();
    if (!this.#wantsDrain) return;
    this.#wantsDrain = false;
    this.handler.drain();
  }

  // --- the end ---

  /** Everything written has left: closes our half. */
  #shutdown() {
    if (!this.#shut && !this.#socket!.shutdown()) {
      if (this.#socket!.error) return this.destroy(this.#socket!.error);
      return this.#want();
    }
    this.#shut = true;
    if (this.#readEnded || this.#ending === 'close') this.destroy();
    else this.#want();
  }

  end(): void {
    this.#endAs('half');
  }

  finish(): void {
    this.#endAs('close');
  }

  #endAs(how: 'half' | 'close') {
    if (this.#dead || this.#ending === how || this.#ending === 'close') return;
    if (this.#ending === 'mute') return how === 'close' ? this.destroy(this.#error) : undefined;
    this.sendLate();
    if (this.#dead) return;
    this.#ending = how;
    if (this.#socket && this.#waiting === 0) this.#shutdown();
  }

  destroy(error?: Error): void {
    this.#inside?.destroy();
    if (this.#dead) return;
    this.#dead = true;
    // As if it had been sent when it was written: how that goes is of no matter any more.
    if (this.late > 0) this.#socket!.write(this.#loop.outbox.addressOf(this), this.late);
    this.late = 0;
    this.#error = error;
    this.#queue.clear();
    this.#outlet.drop();
    this.#passing = undefined;
    this.#establishing?.cancel();
    const gone = () => {
      const last = this.handler;
      this.handler = NOBODY;
      last.close(this.#error);
    };
    if (this.#socket) this.#socket.close(gone);
    else this.#loop.bury(gone);
  }

  breakOff(): void {
    this.sendLate();
    if (!this.#dead) this.#socket?.reset();
    this.destroy();
  }

  // --- interception ---

  originalDestination(): Address | undefined {
    return this.#loop.originalDestination(this.fd);
  }

  local(): boolean {
    const [remote, own] = this.#loop.ends(this.fd);
    return sameMachine(remote, own);
  }

  startTls(first: Buffer, done: Parameters<NonNullable<Connection['startTls']>>[1]): void {
    if (!this.terminate || this.#dead) throw new Error('this listener offers no TLS');
    // The socket is another's from now on.
    this.#dead = true;
    this.handler = NOBODY;
    this.#inside = this.terminate(first, done);
  }

  // --- reading ---

  passOn(to: Connection, count: number): void {
    if (!(to instanceof ReactorConnection) || this.secure || to.secure || this.#dead || count <= 0) return;
    this.#passing = new Passage<ReactorConnection>(to, count);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    const socket = this.#socket;
    if (!socket || this.#dead) return;
    this.#want();
    if (socket.pending) this.#loop.again(socket);
  }

  keep(chunk: Buffer): Buffer {
    return this.#loop.input.holds(chunk) ? Buffer.from(chunk) : chunk;
  }
}
