import { readdirSync, readFileSync } from 'node:fs';
import { connect } from '../../../src/kube/index.ts';
import type { KubeClient } from '../../../src/kube/types.ts';

/** A running cluster with Weir installed, as the tests see it. The same shape fits a real API server. */
export interface TestCluster {
  kubeconfig: string;
  dir: string;
  client: KubeClient;
}

/** The cluster that the project's global set-up started for all test files. */
export async function sharedCluster(): Promise<TestCluster> {
  const { WEIR_E2E_KUBECONFIG: kubeconfig, WEIR_E2E_DIR: dir } = process.env;
  if (!kubeconfig || !dir) throw new Error('no shared cluster: run `npm run test:e2e`');
  return { kubeconfig, dir, client: await connect({ kubeconfig }) };
}

/** Pids of this cluster's processes whose command line or environment contains every one of `words`. */
export function processes(dir: string, ...words: string[]): number[] {
  const found: number[] = [];
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const read = (file: string) => readFileSync(`/proc/${entry}/${file}`, 'utf8').replaceAll('\0', ' ');
      const text = `${read('cmdline')} ${read('environ')}`;
      if (text.includes(dir) && words.every((word) => text.includes(word))) found.push(Number(entry));
    } catch {
      // The process ended between the two reads.
    }
  }
  return found;
}

/** Sends SIGKILL to every process of the cluster that `words` describe; there must be one. */
export function kill(dir: string, ...words: string[]): void {
  const pids = processes(dir, ...words);
  if (pids.length === 0) throw new Error(`no process of ${dir} matches ${words.join(' and ')}`);
  for (const pid of pids) process.kill(pid, 'SIGKILL');
}

/** Polls until `probe` answers something truthy; the error tells what it last saw. */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  {
    timeoutMs = 30_000,
    everyMs = 50,
    describe = () => '',
  }: { timeoutMs?: number; everyMs?: number; describe?: () => string | Promise<string> } = {},
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) {
      throw new Error(
        `${what}: not within ${timeoutMs} ms${last ? `; last error: ${String(last)}` : ''}\n${await describe()}`,
        { cause: last },
      );
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
