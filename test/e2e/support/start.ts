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
  return { kubeconfig: local.kubeconfig, dir, client, stop: () => local.stop() };
}
