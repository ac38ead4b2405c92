import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type KubernetesCluster, type KubernetesOptions, startKubernetes } from './cluster.ts';

/** A cluster for one test file, beside the shared one: addresses of the worker that runs it. */
export function ownCluster(
  options: Omit<KubernetesOptions, 'dir' | 'prefix'> = {},
): Promise<KubernetesCluster> {
  const dir = mkdtempSync(join(tmpdir(), 'weir-own-'));
  // Another network for each file of a worker: what the one before left listening must not be in the way.
  const turn = Math.floor(Date.now() / 1000) % 16;
  const prefix = `100.${64 + 16 * Number(process.env.JEST_WORKER_ID ?? 0) + turn}`;
  return startKubernetes({ ...options, dir, prefix });
}
