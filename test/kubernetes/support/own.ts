import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type KubernetesCluster, type KubernetesOptions, startKubernetes } from './cluster.ts';

/** A cluster for one test file, beside the shared one: addresses of the worker that runs it. */
export function ownCluster(
  options: Omit<KubernetesOptions, 'dir' | 'prefix'> = {},
): Promise<KubernetesCluster> {
  const dir = mkdtempSync(join(tmpdir(), 'weir-own-'));
  return startKubernetes({ ...options, dir, prefix: `100.${64 + Number(process.env.JEST_WORKER_ID ?? 0)}` });
}
