import { execFileSync, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';

/** A process as it can be recognised later: a pid may be reused, a pid with its start time may not. */
export interface ProcessIdentity {
  pid: number;
  startTime: string;
}

export interface Exit {
  exitCode: number;
  signal?: number;
  /** Why there is no true exit code. */
  message?: string;
}

const POLL_MS = 100;

/** When the process started, in the system's own unit; undefined when it is gone or a zombie. */
export function startTimeOf(pid: number): string | undefined {
  try {
    if (process.platform === 'linux') {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      // The command name may hold spaces and parentheses; the fields begin after its last one.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
    }
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim() || undefined;
  } catch {
    return undefined;
  }
}

export function isAlive({ pid, startTime }: ProcessIdentity): boolean {
  return startTimeOf(pid) === startTime;
}

/** Signals the whole process group of a process that leads one. */
export function signalGroup({ pid }: ProcessIdentity, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // Gone already.
  }
}

/** A container's process: started here, or found again after a restart of the node. */
export class ManagedProcess {
  readonly identity: ProcessIdentity;
  readonly exited: Promise<Exit>;

  private constructor(identity: ProcessIdentity, exited: Promise<Exit>) {
    this.identity = identity;
    this.exited = exited;
  }

  /** In a group and session of its own, writing to `logFile` directly, so that it outlives this process. */
  static spawn(options: {
    argv: string[];
    env: Record<string, string>;
    cwd: string;
    logFile: string;
  }): ManagedProcess {
    const { argv, env, cwd, logFile } = options;
    const output = openSync(logFile, 'a');
    try {
      const child = spawn(argv[0]!, argv.slice(1), {
        cwd,
        env,
        detached: true,
        stdio: ['ignore', output, output],
      });
      const exited = new Promise<Exit>((resolve) => {
        child.once('error', (error) =>
          resolve({ exitCode: 128, message: `cannot start ${argv[0]}: ${error.message}` }),
        );
        child.once('exit', (code, signal) => {
          const number = signal ? constants.signals[signal] : undefined;
          resolve(
            number === undefined ? { exitCode: code ?? 255 } : { exitCode: 128 + number, signal: number },
          );
        });
      });
      const pid = child.pid ?? 0;
      const identity = { pid, startTime: (pid > 0 ? startTimeOf(pid) : undefined) ?? '' };
      return new ManagedProcess(
        identity,
        exited.then((exit) => sweep(identity, exit)),
      );
    } finally {
      closeSync(output);
    }
  }

  /** The process of an earlier node, if it still runs. Its exit code cannot be known, only that it ended. */
  static adopt(identity: ProcessIdentity): ManagedProcess | undefined {
    if (!isAlive(identity)) return undefined;
    const exited = new Promise<Exit>((resolve) => {
      const timer = setInterval(() => {
        if (isAlive(identity)) return;
        clearInterval(timer);
        resolve({ exitCode: 255, message: 'ended unobserved: the node was restarted while it ran' });
      }, POLL_MS);
    });
    return new ManagedProcess(
      identity,
      exited.then((exit) => sweep(identity, exit)),
    );
  }

  signal(signal: NodeJS.Signals): void {
    if (this.identity.pid > 0) signalGroup(this.identity, signal);
  }

  /** SIGTERM, and SIGKILL after the grace period. Resolves when the process is gone. */
  async stop(graceMs: number): Promise<Exit> {
    this.signal('SIGTERM');
    const timer = setTimeout(() => this.signal('SIGKILL'), graceMs);
    try {
      return await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** A container ends as a whole: what its first process left running goes with it. */
function sweep(identity: ProcessIdentity, exit: Exit): Exit {
  if (identity.pid > 0) signalGroup(identity, 'SIGKILL');
  return exit;
}
