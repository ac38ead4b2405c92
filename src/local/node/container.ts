import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../lib/clock.ts';
import { toAppError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import { attempt, type ProbeTarget, runProbe } from './probes.ts';
import { type Exit, ManagedProcess, type ProcessIdentity } from './process.ts';
import type { Container, ContainerState, ContainerStatus } from './types.ts';

export interface Launch {
  argv: string[];
  env: Record<string, string>;
  cwd: string;
}

export interface ContainerOptions {
  container: Container;
  /** Directory of this container: state and logs. */
  dir: string;
  podIP: string;
  restartPolicy: 'Always' | 'OnFailure' | 'Never';
  graceMs: number;
  /** Works out what to run; an error is shown as the waiting reason and tried again. */
  launch(): Promise<Launch>;
  onChange(): void;
  log: Logger;
}

interface Saved {
  process?: ProcessIdentity;
  launch?: Launch;
  startedAt?: string;
  restartCount: number;
  lastState: ContainerState;
  /** Ended for good. */
  terminated?: ContainerState['terminated'];
}

const MAX_BACKOFF_MS = 30_000;
const STABLE_MS = 600_000;
const RETRY_LAUNCH_MS = 200;

/** As a kubelet words it: an image that cannot be had is tried once, and from then on backed off. */
function reasonOf(error: unknown, before: string | undefined): string {
  const reason = toAppError(error).details.reason;
  if (reason !== 'ErrImagePull') return 'CreateContainerConfigError';
  return before === 'ErrImagePull' || before === 'ImagePullBackOff' ? 'ImagePullBackOff' : 'ErrImagePull';
}

const timestamp = (): string => `${new Date().toISOString().slice(0, 19)}Z`;

/** Runs one container until it is stopped or has ended for good; restarts it by policy, with back-off. */
export class ContainerRunner {
  readonly name: string;
  readonly #options: ContainerOptions;
  readonly #stopping = new AbortController();
  #state: ContainerState = { waiting: { reason: 'ContainerCreating' } };
  #saved: Saved;
  #process: ManagedProcess | undefined;
  #ready = false;
  #started = false;
  #running: Promise<void> | undefined;
  #markStarted!: () => void;
  /** Resolves when it is up (startup probe passed, if any) or has ended for good. */
  readonly started: Promise<void>;

  constructor(options: ContainerOptions) {
    this.#options = options;
    this.name = options.container.name;
    this.started = new Promise((resolve) => {
      this.#markStarted = resolve;
    });
    mkdirSync(options.dir, { recursive: true });
    this.#saved = this.#load();
    if (this.#saved.terminated) this.#state = { terminated: this.#saved.terminated };
  }

  status(): ContainerStatus {
    const { container, dir } = this.#options;
    const pid = this.#process?.identity.pid ?? this.#saved.process?.pid;
    return {
      name: this.name,
      image: container.image ?? '',
      imageID: container.image ?? '',
      ...(pid ? { containerID: `process://${pid}` } : {}),
      ready: this.#ready,
      started: this.#started,
      restartCount: this.#saved.restartCount,
      state: this.#state,
      lastState: dir ? this.#saved.lastState : {},
    };
  }

  /** Starts once; the promise resolves when the container has ended for good. */
  run(): Promise<void> {
    this.#running ??= this.#loop().finally(() => this.#markStarted());
    return this.#running;
  }

  /** SIGTERM after the preStop hook, SIGKILL at the end of the grace period. */
  async stop(graceMs: number): Promise<void> {
    const first = !this.#stopping.signal.aborted;
    this.#stopping.abort();
    if (first && this.#process) await this.#preStop(graceMs);
    await this.#process?.stop(graceMs);
    await this.#running;
  }

  kill(): void {
    this.#stopping.abort();
    this.#process?.signal('SIGKILL');
  }

  async #preStop(graceMs: number): Promise<void> {
    const { lifecycle, ports } = this.#options.container;
    const { sleep, exec } = lifecycle?.preStop ?? {};
    const limit = AbortSignal.timeout(graceMs);
    const ended = this.#process!.exited;
    if (sleep) await Promise.race([systemClock.sleep(sleep.seconds * 1000, limit).catch(() => {}), ended]);
    if (exec && this.#saved.launch) {
      const { env, cwd } = this.#saved.launch;
      const target: ProbeTarget = { podIP: this.#options.podIP, ports, exec: { env, cwd } };
      await Promise.race([attempt({ exec, timeoutSeconds: graceMs / 1000 }, target, limit), ended]);
    }
  }

  async #loop(): Promise<void> {
    const { signal } = this.#stopping;
    if (this.#saved.terminated) return;
    let backoff = 0;
    let found = this.#saved.process && ManagedProcess.adopt(this.#saved.process);
    // The process of an earlier node that ended meanwhile counts as a run of its own.
    let exit: Exit | undefined =
      this.#saved.process && !found ? { exitCode: 255, message: 'ended while the node was away' } : undefined;
    let startedAt = performance.now();
    while (!signal.aborted) {
      if (!exit) {
        const running = found ?? (await this.#start());
        if (!running) return;
        startedAt = performance.now();
        exit = await this.#supervise(running);
        found = undefined;
      }
      const ended = this.#recordExit(exit);
      if (signal.aborted || !this.#shouldRestart(exit)) {
        this.#state = { terminated: ended };
        this.#saved.terminated = ended;
        this.#save();
        this.#options.onChange();
        return;
      }
      exit = undefined;
      if (performance.now() - startedAt > STABLE_MS) backoff = 0;
      this.#saved.restartCount += 1;
      this.#saved.lastState = { terminated: ended };
      if (backoff > 0) {
        const message = `back-off ${backoff / 1000}s restarting failed container ${this.name}`;
        this.#state = { waiting: { reason: 'CrashLoopBackOff', message } };
      } else this.#state = { terminated: ended };
      this.#save();
      this.#options.onChange();
      await systemClock.sleep(backoff, signal).catch(() => {});
      backoff = backoff === 0 ? 1000 : Math.min(backoff * 2, MAX_BACKOFF_MS);
    }
    // Stopped between two runs.
    if (!this.#state.terminated) {
      const last = this.#saved.lastState.terminated;
      this.#state = {
        terminated: last ?? {
          exitCode: 137,
          reason: 'ContainerNeverStarted',
          startedAt: timestamp(),
          finishedAt: timestamp(),
        },
      };
    }
    this.#options.onChange();
  }

  async #start(): Promise<ManagedProcess | undefined> {
    const { signal } = this.#stopping;
    const { dir, log, onChange } = this.#options;
    while (!signal.aborted) {
      try {
        const launch = await this.#options.launch();
        if (signal.aborted) return undefined;
        const logFile = join(dir, `${this.#saved.restartCount}.log`);
        const started = ManagedProcess.spawn({ ...launch, logFile });
        this.#saved = { ...this.#saved, process: started.identity, launch, startedAt: timestamp() };
        this.#save();
        return started;
      } catch (error) {
        const message = (error as Error).message;
        const { waiting } = this.#state;
        const reason = reasonOf(error, waiting?.reason);
        if (waiting?.message !== message || waiting.reason !== reason) {
          log.warn({ container: this.name, error }, 'cannot start the container yet');
          this.#state = { waiting: { reason, message } };
          onChange();
        }
        await systemClock.sleep(RETRY_LAUNCH_MS, signal).catch(() => {});
      }
    }
    return undefined;
  }

  /** Watches a running process: its probes, and its end. */
  async #supervise(running: ManagedProcess): Promise<Exit> {
    const { container, podIP, onChange, log, graceMs } = this.#options;
    this.#process = running;
    // Asked to stop in the moment between its start and here.
    if (this.#stopping.signal.aborted) void running.stop(graceMs);
    this.#state = { running: { startedAt: this.#saved.startedAt ?? timestamp() } };
    const probing = new AbortController();
    const { env = {}, cwd = '.' } = this.#saved.launch ?? {};
    const target: ProbeTarget = { podIP, ports: container.ports, exec: { env, cwd } };
    const restart = (probe: string) => {
      log.info({ container: this.name, probe }, 'probe failed, restarting the container');
      void running.stop(graceMs);
    };
    const afterStart = () => {
      this.#started = true;
      this.#ready = !container.readinessProbe;
      this.#markStarted();
      if (container.readinessProbe) {
        const onResult = (success: boolean) => {
          this.#ready = success;
          onChange();
        };
        void runProbe(container.readinessProbe, target, { onResult, eager: true }, probing.signal);
      }
      if (container.livenessProbe) {
        const onResult = (success: boolean) => {
          if (!success) restart('liveness');
        };
        void runProbe(container.livenessProbe, target, { onResult, eager: false }, probing.signal);
      }
      onChange();
    };
    if (container.startupProbe) {
      const once = new AbortController();
      const onResult = (success: boolean) => {
        once.abort();
        if (success) afterStart();
        else restart('startup');
      };
      const signal = AbortSignal.any([once.signal, probing.signal]);
      void runProbe(container.startupProbe, target, { onResult, eager: true }, signal);
      onChange();
    } else afterStart();
    const exit = await running.exited;
    probing.abort();
    this.#process = undefined;
    this.#ready = false;
    this.#started = false;
    return exit;
  }

  #recordExit({ exitCode, signal, message }: Exit): NonNullable<ContainerState['terminated']> {
    const startedAt = this.#saved.startedAt ?? timestamp();
    this.#saved.process = undefined;
    const reason = exitCode === 0 ? 'Completed' : exitCode === 128 && message ? 'StartError' : 'Error';
    return {
      exitCode,
      ...(signal === undefined ? {} : { signal }),
      reason,
      ...(message === undefined ? {} : { message }),
      startedAt,
      finishedAt: timestamp(),
    };
  }

  #shouldRestart({ exitCode }: Exit): boolean {
    const { restartPolicy } = this.#options;
    return restartPolicy === 'Always' || (restartPolicy === 'OnFailure' && exitCode !== 0);
  }

  #load(): Saved {
    try {
      return JSON.parse(readFileSync(join(this.#options.dir, 'state.json'), 'utf8')) as Saved;
    } catch {
      return { restartCount: 0, lastState: {} };
    }
  }

  #save(): void {
    const file = join(this.#options.dir, 'state.json');
    // Atomic: a node killed in the middle of this must find either the old or the new state.
    writeFileSync(`${file}.new`, JSON.stringify(this.#saved), { mode: 0o600 });
    renameSync(`${file}.new`, file);
  }
}
