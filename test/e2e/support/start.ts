import { rmSync } from 'node:fs';
import { installWeir } from '../../../src/cli/install/apply.ts';
import { connect } from '../../../src/kube/index.ts';
import { startLocalCluster } from '../../../src/local/supervisor/index.ts';
import type { TestCluster } from './cluster.ts';

export interface RunningCluster extends TestCluster {
  stop(): Promise<void>;
}

/** A local cluster in `dir` with Weir installed, by the same code as `weir local up`. */
export async function startWithWeir(dir: string): Promise<RunningCluster> {
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
