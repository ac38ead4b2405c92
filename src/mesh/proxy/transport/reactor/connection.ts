import { NOBODY } from '../nobody.ts';
import { sameMachine } from '../original-destination.ts';
import { LEAST, MOST, portionAfter, SHARE } from '../portion.ts';
import type { Address, Connection, ConnectionHandler } from '../types.ts';
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLNONE, EPOLLOUT } from './libc.ts';
import type { Loop, Watch } from './loop.ts';
import { type Sender, Sending } from './sending.ts';
import { AGAIN, FAILED, REFUSED, type Socket } from './socket.ts';
import { Passage } from './splice.ts';

/** Reads of one connection in a turn, so that others have theirs. */
const READS = 4;

/** One connection of the reactor: bytes both ways, half-close, back-pressure. Events never come from inside a call. */
export class ReactorConnection implements Connection, Watch, Sender {
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
  readonly #sending: Sending;
  /** What goes on before there is an open socket. */
  #establishing: { cancel(): void } | undefined;
  /** There once it may be read and written. */
  #socket: Socket | undefined;
  #paused = false;
  /** The peer has half-closed. */
  #readEnded = false;
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
    this.#sending = new Sending(loop, this);
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
    this.#sending.open(socket);
    socket.watch = this;
    if (dialled) this.handler.open?.();
    if (this.#dead) return;
    this.#flush();
    if (this.#dead) return;
    this.want();
    if (socket.pending) this.#loop.again(socket);
  }

  ready(events: number): void {
    const socket = this.#socket!;
    const broken = (events & (EPOLLERR | EPOLLHUP)) !== 0;
    if ((events & EPOLLOUT) !== 0 || (broken && this.#sending.waiting > 0)) {
      this.#flush();
      if (this.#dead) return;
    }
    if (this.#sending.ending === 'mute') this.#readLast(socket);
    else if ((events & EPOLLIN) !== 0 || broken || socket.crossed) this.#read(socket, broken);
  }

  /** What came before the connection broke. */
  #readLast(socket: Socket) {
    if (this.#paused) return this.want();
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
    if (this.#paused || this.#readEnded) return this.want();
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
      if (count === AGAIN) return this.want();
      if (count === FAILED) return this.destroy(socket.error);
      if (count === 0) return this.#readEnd();
      const passage = this.#passing;
      const to = passage?.holds(count) === true ? passage.to.#sending : undefined;
      const open = to?.clear();
      if (passage?.passed(count) === false) this.#passing = undefined;
      const began = count < LEAST ? 0 : performance.now();
      if (to && open) this.#tell(count, to.pass(open, count));
      else this.#give(bytes.subarray(0, count));
      const took = count < LEAST ? 0 : performance.now() - began;
      if (took > 0) this.#portion = portionAfter(size, count, took);
      if (this.#dead || this.#paused) return;
      spent += took;
      if ((count < size && !socket.pending) || spent > SHARE) break;
    }
    if (socket.pending) this.#loop.again(socket);
    else if (socket.crossed) this.want();
  }

  #give(chunk: Buffer): void {
    try {
      this.handler.data(chunk);
    } catch (thrown) {
      // An error in handling one connection ends that connection and nothing else.
      this.destroy(thrown as Error);
    }
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
    const to = passage.to.#sending;
    const open = to.clear();
    const pipe = open && !open.tls ? this.#loop.pipes.borrow() : undefined;
    if (!pipe) return 'read';
    const count = passage.fill(pipe, socket);
    if (count <= 0) {
      this.#loop.pipes.giveBack(pipe);
      if (count === REFUSED) {
        this.#passing = undefined;
        return 'read';
      }
      if (count === AGAIN) this.want();
      else if (count === FAILED) this.destroy(socket.error);
      else this.#readEnd();
      return 'over';
    }
    if (!passage.passed(count)) this.#passing = undefined;
    const more = to.writePipe(pipe);
    this.#tell(count, more);
    return this.#dead || this.#paused || this.#passing !== passage || !passage.goesOn(count) ? 'over' : 'on';
  }

  #readEnd() {
    this.#readEnded = true;
    this.want();
    this.handler.end();
    if (this.#sending.ended) this.destroy();
  }

  /** What epoll should tell. */
  want(): void {
    if (this.#dead || !this.#socket) return;
    // After the end of what the peer sends, only its reset is news.
    const read = this.#readEnded ? EPOLLNONE : this.#paused ? 0 : EPOLLIN;
    const write = this.#sending.pending || this.#socket.crossed ? EPOLLOUT : 0;
    this.#socket.want(read | write);
  }

  // --- writing ---

  write(chunk: Buffer): boolean {
    return this.#sending.write(chunk);
  }

  writeCopy(bytes: Buffer, end: number): boolean {
    return this.#sending.writeCopy(bytes, end);
  }

  writePair(first: Buffer, second: Buffer): boolean {
    return this.#sending.writePair(first, second);
  }

  #flush() {
    if (this.#sending.flush()) this.handler.drain();
  }

  /**
   * What the peer has said before may still be read: a server that answers an upload early and closes is heard, and not taken
   * for one that broke off.
   */
  broken(error: Error | undefined): void {
    const socket = this.#socket!;
    const listens = !this.#readEnded && !this.#paused && this.#sending.ending !== 'close';
    if (!listens || socket.tls) {
      this.destroy(error);
      return;
    }
    this.#sending.mute();
    this.#error = error;
    this.#passing = undefined;
    this.want();
    this.#loop.again(socket);
  }

  // --- the end ---

  shut(error?: Error): void {
    if (error || this.#readEnded || this.#sending.ending === 'close') this.destroy(error);
    else this.want();
  }

  end(): void {
    this.#endAs('half');
  }

  finish(): void {
    this.#endAs('close');
  }

  #endAs(how: 'half' | 'close') {
    // What was put off may show that nothing arrives any more: that is how it ends then.
    this.#sending.sendLate();
    const { ending } = this.#sending;
    if (this.#dead || ending === how || ending === 'close') return;
    if (ending !== 'mute') this.#sending.end(how);
    else if (how === 'close') this.destroy(this.#error);
  }

  destroy(error?: Error): void {
    this.#inside?.destroy();
    if (this.#dead) return;
    this.#dead = true;
    this.#error = error;
    this.#sending.drop();
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
    this.#sending.sendLate();
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
    this.#sending.drop();
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
    this.want();
    if (socket.pending) this.#loop.again(socket);
  }

  keep(chunk: Buffer): Buffer {
    return this.#loop.input.keep(chunk);
  }
}
