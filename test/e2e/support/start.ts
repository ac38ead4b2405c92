import { rmSync } from 'node:fs';
import { installWeir } from '../../../src/cli/install/apply.ts';
import { connect } from '../../../src/kube/index.ts';
import { startLocalCluster } from '../../../src/local/supervisor/index.ts';
import type { TestCluster } from './cluster.ts';

export interface RunningCluster extends TestCluster {
  stop(): Promise<void>;
}

/** Whether these scenarios run on a real API server. */
export const onKubernetes = process.env.WEIR_E2E_CLUSTER === 'kubernetes';

/**
 * A cluster in `dir` with Weir installed: the local one, or, for the same scenarios on a real API server
 * (`npm run test:kubernetes`), a real control plane with Weir's node component.
 */
export async function startWithWeir(dir: string): Promise<RunningCluster> {
  if (!onKubernetes) return startLocal(dir);
  const { startKubernetes } = await import('../../kubernetes/support/cluster.ts');
  const { freeNetwork } = await import('../../kubernetes/support/own.ts');
  // Beside the shared cluster, each test file that has one of its own.
  return startKubernetes({ dir, ...(process.env.JEST_WORKER_ID ? { prefix: freeNetwork() } : {}) });
}

/** A local cluster in `dir` with Weir installed, by the same code as `weir local up`. */
async function startLocal(dir: string): Promise<RunningCluster> {
  const local = await startLocalCluster({ dir });
  const client = await connect({ kubeconfig: local.kubeconfig });
  await installWeir(client, { profile: 'local' });
  const stop = async () => {
    await local.stop();
    // Kept for a person who wants to look at the logs of a run that failed.
    if (!process.env.WEIR_KEEP) rmSync(dir, { recursive: true, force: true });
  };
  return { kubeconfig: local.kubeconfig, dir, client, stop };
}
