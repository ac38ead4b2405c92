/**
 * Lets Node's own loop wait for the reactor's epoll set: libuv polls the set's file descriptor like any other, so one
 * blocking wait serves both, timers keep their time and an idle process sleeps.
 */
import type { Koffi } from '../../../../lib/koffi.ts';
import { Region } from './memory.ts';

const UV_POLL = 8;
const UV_READABLE = 1;

export class LoopPoll {
  readonly #handle: Region;
  readonly #start: () => number;
  readonly #stop: () => number;
  #polling = false;

  /** Throws when this Node does not export what it takes. */
  constructor(koffi: Koffi, fd: number) {
    const node = koffi.load(null);
    const loop = node.func('uint64_t uv_default_loop()')();
    const size = Number(node.func('size_t uv_handle_size(int)')(UV_POLL));
    this.#handle = new Region(koffi, size);
    const failed = node.func('int uv_poll_init(uint64_t, uint64_t, int)')(loop, this.#handle.address, fd);
    if (failed !== 0) throw new Error(`uv_poll_init failed: ${failed}`);
    // The wake-up itself is all that is wanted: the reactor takes its turn in the check phase that follows. So the
    // callback is a function of C that reads one flag of the handle and returns, and no JavaScript runs here.
    const nothing = node.func('uint64_t dlsym(uint64_t, str)')(0, 'uv_is_active');
    const start = node.func('int uv_poll_start(uint64_t, int, uint64_t)');
    const stop = node.func('int uv_poll_stop(uint64_t)');
    this.#start = () => start(this.#handle.address, UV_READABLE, nothing);
    this.#stop = () => stop(this.#handle.address);
    // libuv keeps a pointer to the handle in its loop for as long as the process lives.
    handles.push(this.#handle);
  }

  /** While on, the process stays alive and wakes up for the set. */
  set(on: boolean): void {
    if (on === this.#polling) return;
    this.#polling = on;
    if (on) this.#start();
    else this.#stop();
  }
}

const handles: Region[] = [];
