/** The reactor's epoll set and what happens in one turn of it. */
import { isIPv4 } from 'node:net';
import { setImmediate } from 'node:timers';
import type { Koffi } from '../../../../lib/koffi.ts';
import type { Address } from '../types.ts';
import {
  bindLibc,
  EPOLL_CTL,
  EPOLLIN,
  type Libc,
  SO_ERROR,
  SO_ORIGINAL_DST,
  SOL_IP,
  SOL_IPV6,
  SOL_SOCKET,
  systemError,
} from './libc.ts';
import { type Counts, Region } from './memory.ts';
import { Outbox } from './outbox.ts';
import { Pipes } from './pipes.ts';
import { decodeAddress, SOCKADDR_SIZE } from './sockaddr.ts';
import { LoopPoll } from './uv.ts';

const EPOLL_CLOEXEC = 0o2000000;
/** Events handed out at once: few enough for a turn to look at the clock in between. */
const BATCH = 64;
/** Bytes of one read, and of one write. */
const CHUNK = 65_536;
/** Under load events follow each other within so many milliseconds. */
const CLOSE = 1;
/** Milliseconds that a turn may keep Node's own loop waiting while they do: half of what deadlines are exact to. */
const LINGER = 10;
/** What `performance` gives, without asking the global object for it each time. */
const now = performance.now.bind(performance);
/** struct epoll_event in words of four bytes: packed on x86-64, aligned elsewhere. */
const [STRIDE, DATA] = process.arch === 'x64' ? [3, 1] : [4, 2];

/** Who is told what a file descriptor is ready for (EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP). */
export interface Watch {
  ready(events: number): void;
}

/** A file descriptor in the set. */
export interface Source {
  readonly fd: number;
  watch: Watch;
  closed: boolean;
}

interface Entry {
  source: Source;
  /** Tells a descriptor from the one that had its number before, in events that are old. */
  generation: number;
}

export class Loop {
  readonly koffi: Koffi;
  readonly libc: Libc;
  /** What is read, by whoever has its turn. Overwritten by the next read. */
  readonly input: Region;
  /** What is collected to be written at once. */
  readonly output: Region;
  /** What this turn's connections have written, until its end. */
  readonly outbox: Outbox;
  /** For structures that calls take and fill. */
  readonly scratch: Region;
  readonly counts: Counts = { sockets: 0, sessions: 0, contexts: 0, pipes: 0 };
  readonly pipes = new Pipes(this);
  /** Events are being handed out. */
  turning = false;
  turns = 0;
  /** When the events at hand came; 0 = not looked at. */
  #moment = 0;
  readonly #epoll: number;
  readonly #poll: LoopPoll;
  readonly #events: Region;
  readonly #words: Int32Array;
  readonly #event: Region;
  readonly #entries: (Entry | undefined)[] = [];
  #generation = 0;
  /** When the last turn ended. */
  #rested = 0;
  #sources = 0;
  #immediate: NodeJS.Immediate | undefined;
  #again: Source[] = [];
  #after: (() => void)[] = [];
  #buried: (() => void)[] = [];

  constructor(koffi: Koffi) {
    this.koffi = koffi;
    this.libc = bindLibc(koffi);
    this.input = new Region(koffi, CHUNK);
    this.output = new Region(koffi, CHUNK);
    this.outbox = new Outbox(new Region(koffi, CHUNK), report);
    this.scratch = new Region(koffi, 256);
    this.#event = new Region(koffi, 256);
    this.#events = new Region(koffi, BATCH * STRIDE * 4);
    const { buffer, byteOffset } = this.#events.bytes;
    this.#words = new Int32Array(buffer, byteOffset, BATCH * STRIDE);
    this.#epoll = this.libc.epoll_create1(EPOLL_CLOEXEC);
    if (this.#epoll < 0) throw systemError('epoll_create1', this.libc.errno());
    this.#poll = new LoopPoll(koffi, this.#epoll);
  }

  // --- the set ---

  /** Takes a descriptor in; from now on the loop keeps the process alive until `leave`. */
  join(source: Source): void {
    this.#generation = (this.#generation + 1) | 0;
    this.#entries[source.fd] = { source, generation: this.#generation };
    this.#sources += 1;
    this.#poll.set(true);
    if (!this.turning && !this.#immediate) this.#arm();
  }

  control(operation: keyof typeof EPOLL_CTL, fd: number, events: number): void {
    const { bytes, address } = this.#event;
    bytes.writeUInt32LE(events, 0);
    bytes.writeInt32LE(fd, 4 * DATA);
    bytes.writeInt32LE(this.#entries[fd]!.generation, 4 * DATA + 4);
    if (this.libc.epoll_ctl(this.#epoll, EPOLL_CTL[operation], fd, address) < 0)
      throw systemError('epoll_ctl', this.libc.errno());
  }

  /** The error that a socket has met, if any; asking takes it away. */
  socketError(fd: number, call = 'read'): Error | undefined {
    const { bytes, address } = this.scratch;
    bytes.writeInt32LE(0, 0);
    bytes.writeInt32LE(4, 8);
    const failed = this.libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, address, address + 8) < 0;
    const errno = failed ? this.libc.errno() : bytes.readInt32LE(0);
    return errno === 0 ? undefined : systemError(call, errno);
  }

  /** Where a connection was going before a REDIRECT rule of iptables turned it here; undefined if nothing did. */
  originalDestination(fd: number): Address | undefined {
    const host = this.#end('getpeername', fd);
    if (host === undefined) return undefined;
    // An IPv4 peer of a socket that takes both has a mapped address, and an IPv4 entry in the kernel's table.
    const level = isIPv4(host.replace(/^::ffff:/, '')) ? SOL_IP : SOL_IPV6;
    const { bytes, address } = this.scratch;
    bytes.writeInt32LE(SOCKADDR_SIZE, 64);
    if (this.libc.getsockopt(fd, level, SO_ORIGINAL_DST, address, address + 64) < 0) return undefined;
    return decodeAddress(bytes);
  }

  /** The IP addresses of a connection, the peer's first. */
  ends(fd: number): [string | undefined, string | undefined] {
    return [this.#end('getpeername', fd), this.#end('getsockname', fd)];
  }

  /** The IP address of who is at the other end, while there is somebody. */
  peer(fd: number): string | undefined {
    return this.#end('getpeername', fd);
  }

  #end(call: 'getpeername' | 'getsockname', fd: number): string | undefined {
    const { bytes, address } = this.scratch;
    bytes.writeInt32LE(SOCKADDR_SIZE, 64);
    return this.libc[call](fd, address, address + 64) < 0 ? undefined : decodeAddress(bytes).host;
  }

  leave(source: Source): void {
    this.#entries[source.fd] = undefined;
    this.#sources -= 1;
  }

  // --- what else belongs to a turn ---

  /** `ready(EPOLLIN)` at the next turn, for what epoll cannot know. */
  again(source: Source): void {
    this.#again.push(source);
    this.#wake();
  }

  /** The time, the same for all events that came together. */
  moment(): number {
    if (!this.turning) return now();
    if (this.#moment === 0) this.#moment = now();
    return this.#moment;
  }

  /** After the events at hand. */
  afterTurn(callback: () => void): void {
    this.#after.push(callback);
    this.#wake();
  }

  /** At the very end of the turn, when nobody is in the middle of using what is to be freed. */
  bury(callback: () => void): void {
    this.#buried.push(callback);
    this.#wake();
  }

  /** Something waits for the next turn: it must not wait for an event. */
  #wake(): void {
    if (this.turning) return;
    if (this.#immediate) this.#immediate.ref();
    else this.#arm();
  }

  #arm(): void {
    this.#immediate = setImmediate(this.#turn);
    // An immediate that does not keep the loop from blocking, and runs whenever it has been woken.
    if (this.#again.length + this.#after.length + this.#buried.length === 0) this.#immediate.unref();
  }

  readonly #turn = () => {
    this.turning = true;
    this.turns += 1;
    this.#immediate = undefined;
    const began = now();
    // Under load the next event is near, and a round through Node's loop would cost more than to wait for it here.
    if (this.#round(0) && began - this.#rested < CLOSE)
      while (this.#sources > 0 && this.moment() - began < LINGER && this.#round(CLOSE));
    this.#rested = now();
    this.turning = false;
    this.#poll.set(this.#sources > 0);
    if (this.#sources + this.#again.length + this.#after.length > 0) this.#arm();
  };

  /** Hands out what there is and what has been put off; false when there was nothing. */
  #round(timeout: number): boolean {
    const again = this.#again;
    this.#moment = 0;
    if (again.length > 0) {
      this.#again = [];
      for (const source of again) if (!source.closed) this.#tell(source, EPOLLIN);
    }
    const wait = again.length + this.#after.length + this.#buried.length > 0 ? 0 : timeout;
    const count = this.#sources > 0 ? this.#dispatch(wait) : 0;
    this.#settle();
    return count > 0;
  }

  #dispatch(timeout: number): number {
    const words = this.#words;
    const count = this.libc.epoll_wait(this.#epoll, this.#events.address, BATCH, timeout);
    this.#moment = 0;
    for (let n = 0; n < count; n += 1) {
      const at = n * STRIDE;
      const entry = this.#entries[words[at + DATA]!];
      if (entry === undefined || entry.generation !== words[at + DATA + 1] || entry.source.closed) continue;
      this.#tell(entry.source, words[at]!);
    }
    return count;
  }

  #tell(source: Source, events: number): void {
    try {
      source.watch.ready(events);
    } catch (thrown) {
      report(thrown);
    }
  }

  #settle(): void {
    // Once: what they put off again waits for a turn of its own.
    const after = this.#after;
    if (after.length > 0) {
      this.#after = [];
      for (const callback of after) guarded(callback);
    }
    this.outbox.send();
    while (this.#buried.length > 0) {
      const buried = this.#buried;
      this.#buried = [];
      for (const callback of buried) guarded(callback);
      this.outbox.send();
    }
  }
}

function guarded(callback: () => void): void {
  try {
    callback();
  } catch (thrown) {
    report(thrown);
  }
}

/** To whoever handles what nobody has caught, without tearing the others of this turn along. */
export function report(thrown: unknown): void {
  setImmediate(() => {
    throw thrown;
  });
}
