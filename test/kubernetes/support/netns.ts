import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:os';
import { text } from 'node:stream/consumers';

/** Addresses of clusters: benchmarking (RFC 2544) and shared address space (RFC 6598), so that nothing real is shadowed. */
const NETWORKS = ['198.18.0.0/15', '100.64.0.0/10'];

const ip = (...args: string[]) => execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });

/**
 * A network namespace in which these networks are this machine: a real API server refuses loopback addresses for pods,
 * and any others would have to be routed on a network that is not ours.
 */
export function createNamespace(name: string): void {
  ip('netns', 'add', name);
  ip('-n', name, 'link', 'set', 'lo', 'up');
  for (const network of NETWORKS) ip('-n', name, 'route', 'add', 'local', network, 'dev', 'lo');
}

export function deleteNamespace(name: string): void {
  try {
    ip('netns', 'delete', name);
  } catch {
    // Gone already.
  }
}

export interface Ended {
  /** As a shell gives it: 128 + the number of the signal. */
  code: number;
  /** What it printed, where that was kept. */
  stdout: string;
}

/** Runs a command inside; its output is this process's, or kept, and signals go on to it. */
export async function runInside(
  name: string,
  command: string,
  args: string[],
  { env = process.env, stdout = 'inherit' }: { env?: NodeJS.ProcessEnv; stdout?: 'inherit' | 'kept' } = {},
): Promise<Ended> {
  const child = spawn('ip', ['netns', 'exec', name, command, ...args], {
    stdio: ['inherit', stdout === 'kept' ? 'pipe' : 'inherit', 'inherit'],
    env,
  });
  const pass = (signal: NodeJS.Signals) => child.kill(signal);
  process.on('SIGINT', pass).on('SIGTERM', pass);
  try {
    const ended = once(child, 'exit');
    const [printed, [code, signal]] = await Promise.all([child.stdout ? text(child.stdout) : '', ended]);
    return { code: code ?? 128 + constants.signals[signal as NodeJS.Signals], stdout: printed };
  } finally {
    process.off('SIGINT', pass).off('SIGTERM', pass);
  }
}
