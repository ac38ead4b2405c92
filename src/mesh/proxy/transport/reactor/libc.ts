/** The system calls of the reactor. Each returns what the C function returns; `errno` tells more after -1. */
import { getSystemErrorMap } from 'node:util';
import type { Koffi } from '../../../../lib/koffi.ts';

export const EPOLLIN = 0x1;
export const EPOLLOUT = 0x4;
export const EPOLLERR = 0x8;
export const EPOLLHUP = 0x10;
/** EPOLLMSG, which never happens: errors and hang-ups alone are told. */
export const EPOLLNONE = 0x400;
export const EPOLL_CTL = { add: 1, del: 2, mod: 3 } as const;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
/** SOCK_NONBLOCK and SOCK_CLOEXEC, for socket and accept4. */
export const SOCK_FLAGS = 0o4000 | 0o2000000;
export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_ERROR = 4;
export const SO_LINGER = 13;
export const SOL_IP = 0;
export const SOL_IPV6 = 41;
/** And IP6T_SO_ORIGINAL_DST. */
export const SO_ORIGINAL_DST = 80;
export const IPPROTO_TCP = 6;
export const TCP_NODELAY = 1;
export const SHUT_WR = 1;
export const MSG_PEEK = 2;
/** O_NONBLOCK and O_CLOEXEC, for pipe2. */
export const O_PIPE = 0o4000 | 0o2000000;
/** F_SETPIPE_SZ of fcntl. */
export const SETPIPE_SIZE = 1031;
/** SPLICE_F_MOVE and SPLICE_F_NONBLOCK. */
export const SPLICE_FLAGS = 1 | 2;
export const MSG_NOSIGNAL = 0x4000;

export const EINTR = 4;
export const EAGAIN = 11;
export const EINVAL = 22;
export const EMFILE = 24;
export const ENFILE = 23;
export const EINPROGRESS = 115;

/** Addresses are numbers: a pointer made of a Buffer costs a microsecond a call. */
export function bindLibc(koffi: Koffi) {
  const library = koffi.load(null);
  return {
    socket: library.func('int socket(int, int, int)'),
    bind: library.func('int bind(int, uint64_t, int)'),
    listen: library.func('int listen(int, int)'),
    accept4: library.func('int accept4(int, uint64_t, uint64_t, int)'),
    connect: library.func('int connect(int, uint64_t, int)'),
    getpeername: library.func('int getpeername(int, uint64_t, uint64_t)'),
    getsockname: library.func('int getsockname(int, uint64_t, uint64_t)'),
    read: library.func('int read(int, uint64_t, int)'),
    write: library.func('int write(int, uint64_t, int)'),
    recv: library.func('int recv(int, uint64_t, int, int)'),
    send: library.func('int send(int, uint64_t, int, int)'),
    shutdown: library.func('int shutdown(int, int)'),
    close: library.func('int close(int)'),
    pipe2: library.func('int pipe2(uint64_t, int)'),
    fcntl: library.func('int fcntl(int, int, int)'),
    splice: library.func('int splice(int, uint64_t, int, uint64_t, int, int)'),
    open: library.func('int open(str, int)'),
    setsockopt: library.func('int setsockopt(int, int, int, uint64_t, int)'),
    getsockopt: library.func('int getsockopt(int, int, int, uint64_t, uint64_t)'),
    epoll_create1: library.func('int epoll_create1(int)'),
    epoll_ctl: library.func('int epoll_ctl(int, int, int, uint64_t)'),
    epoll_wait: library.func('int epoll_wait(int, uint64_t, int, int)'),
    errno: () => koffi.errno() as number,
  } as Record<string, (...values: (number | string)[]) => number> as unknown as Libc;
}

export interface Libc {
  socket(family: number, type: number, protocol: number): number;
  bind(fd: number, address: number, length: number): number;
  listen(fd: number, backlog: number): number;
  accept4(fd: number, address: number, length: number, flags: number): number;
  connect(fd: number, address: number, length: number): number;
  getpeername(fd: number, address: number, length: number): number;
  getsockname(fd: number, address: number, length: number): number;
  read(fd: number, address: number, length: number): number;
  write(fd: number, address: number, length: number): number;
  recv(fd: number, address: number, length: number, flags: number): number;
  send(fd: number, address: number, length: number, flags: number): number;
  shutdown(fd: number, how: number): number;
  close(fd: number): number;
  pipe2(fds: number, flags: number): number;
  fcntl(fd: number, command: number, value: number): number;
  splice(from: number, at: number, to: number, into: number, length: number, flags: number): number;
  open(path: string, flags: number): number;
  setsockopt(fd: number, level: number, name: number, address: number, length: number): number;
  getsockopt(fd: number, level: number, name: number, address: number, length: number): number;
  epoll_create1(flags: number): number;
  epoll_ctl(epoll: number, operation: number, fd: number, event: number): number;
  epoll_wait(epoll: number, events: number, count: number, timeout: number): number;
  errno(): number;
}

/** `read ECONNRESET`, with `code`, as Node's own sockets say it. */
export function systemError(call: string, errno: number, where = ''): NodeJS.ErrnoException {
  const code = getSystemErrorMap().get(-errno)?.[0] ?? `errno ${errno}`;
  const error: NodeJS.ErrnoException = new Error(`${call} ${code}${where === '' ? '' : ` ${where}`}`);
  error.code = code;
  error.errno = -errno;
  error.syscall = call;
  return error;
}
