import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { Backoff } from '../../lib/backoff.ts';
import type { Logger } from '../../lib/log.ts';

export interface ChildOptions {
  name: string;
  /** Default: this process's own Node. */
  command?: string;
  argv: string[];
  env: NodeJS.ProcessEnv;
  logFile: string;
  log: Logger;
  onStart?: (pid: number) => void;
}

const STABLE_MS = 10_000;

/** One component of the cluster: a process that is started again whenever it ends, until it is stopped. */
export class SupervisedChild {
  readonly name: string;
  readonly #options: ChildOptions;
  readonly #backoff = new Backoff({ initial: 50, max: 5000 });
  #process: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #early = 0;

  constructor(options: ChildOptions) {
    this.#options = options;
    this.name = options.name;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** How often in a row it ended within seconds of its start. */
  get earlyExits(): number {
    return this.#early;
  }

  start(): void {
    if (this.#stopped) return;
    const { command = process.execPath, argv, env, logFile, log, name, onStart } = this.#options;
    const output = openSync(logFile, 'a');
    const startedAt = performance.now();
    // The pipe on stdin stays open as long as this process lives: its end tells the child that nobody watches it any more.
    // A group of its own: Ctrl-C in a terminal is for the supervisor, which then stops everything in order.
    const child = spawn(command, argv, { env, detached: true, stdio: ['pipe', output, output] });
    closeSync(output);
    child.stdin?.on('error', () => {});
    this.#process = child;
    if (child.pid) onStart?.(child.pid);
    this.#exited = new Promise((resolve) => {
      const ended = (code: number | null, signal: NodeJS.Signals | null) => {
        this.#process = undefined;
        resolve();
        if (this.#stopped) return;
        const lived = performance.now() - startedAt;
        if (lived > STABLE_MS) this.#backoff.reset();
        this.#early = lived > STABLE_MS ? 0 : this.#early + 1;
        log.warn({ name, code, signal, logFile }, 'component ended, starting it again');
        // At once the first time; whatever keeps crashing waits longer and longer.
        const wait = this.#early <= 1 ? 0 : this.#backoff.next();
        this.#timer = setTimeout(() => this.start(), wait);
      };
      child.once('exit', ended);
      child.once('error', () => ended(null, null));
    });
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    this.#process?.kill(signal);
  }

  /** SIGTERM, and SIGKILL when it has not ended in time. */
  async stop(graceMs: number): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    const timer = setTimeout(() => this.#process?.kill('SIGKILL'), graceMs);
    this.#process?.kill('SIGTERM');
    await this.#exited;
    clearTimeout(timer);
  }
}
