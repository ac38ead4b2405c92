import { spawn } from 'node:child_process';
import type { Chosen } from '../../kube/index.ts';
import { AppError } from '../../lib/errors.ts';
import type { Tapped } from './target.ts';

export interface Reached {
  /** Of the admin server. */
  url: string;
  close(): void;
}

/** Whether a pod's address is one of this machine's own, as on the local cluster. */
const isLoopback = (ip: string) => ip.startsWith('127.') || ip === '::1';

export interface ReachOptions {
  namespace: string;
  flags: Chosen;
  /** Ends waiting for it. */
  signal: AbortSignal;
}

const FORWARDING = /^Forwarding from 127\.0\.0\.1:(\d+)/m;
const PATIENCE = 20_000;

/**
 * A way to a pod's admin server. Taps are for the pod's own loopback: a port-forward arrives there, and is for those whom
 * the cluster lets (`create` of `pods/portforward`).
 */
export async function reach({ pod, ip, adminPort }: Tapped, options: ReachOptions): Promise<Reached> {
  if (isLoopback(ip)) return { url: `http://${ip}:${adminPort}`, close: () => {} };
  const { namespace, flags, signal } = options;
  const { kubeconfig, context } = flags;
  const args = ['port-forward', '--address=127.0.0.1', '-n', namespace, `pod/${pod}`, `:${adminPort}`];
  if (kubeconfig) args.unshift(`--kubeconfig=${kubeconfig}`);
  if (context) args.unshift(`--context=${context}`);
  const child = spawn('kubectl', args, {
    env: process.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const close = () => void child.kill();
  return new Promise((resolve, reject) => {
    let [output, errors] = ['', ''];
    const settled = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', ended);
    };
    const fail = (reason: string) => {
      settled();
      close();
      reject(new AppError('Unavailable', `cannot reach the proxy of pod ${pod}: ${reason}`));
    };
    const ended = () => fail('nobody looks any more');
    const timer = setTimeout(() => fail('kubectl port-forward said nothing within 20 s'), PATIENCE);
    if (signal.aborted) return ended();
    signal.addEventListener('abort', ended);
    child.on('error', (error) => {
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
      fail(missing ? 'kubectl is not on the PATH, and taps go through its port-forward' : error.message);
    });
    child.on('exit', () => fail(`kubectl port-forward ended: ${errors.trim() || 'without a word'}`));
    child.stderr.on('data', (chunk: Buffer) => {
      errors = (errors + chunk.toString()).slice(-1_000);
    });
    child.stdout.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-1_000);
      const port = FORWARDING.exec(output)?.[1];
      if (port === undefined) return;
      settled();
      child.removeAllListeners('exit');
      resolve({ url: `http://127.0.0.1:${port}`, close });
    });
  });
}
