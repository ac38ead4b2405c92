import { execFileSync, spawn } from 'node:child_process';

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

/** Runs a command inside; its output is this process's, and signals go on to it. */
export function runInside(name: string, command: string, args: string[], env = process.env): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn('ip', ['netns', 'exec', name, command, ...args], { stdio: 'inherit', env });
    const pass = (signal: NodeJS.Signals) => child.kill(signal);
    process.on('SIGINT', pass).on('SIGTERM', pass);
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      process.off('SIGINT', pass).off('SIGTERM', pass);
      resolve(code ?? (signal ? 130 : 1));
    });
  });
}
