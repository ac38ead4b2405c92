import { eventually } from '../../e2e/support/cluster.ts';
import type { KubernetesCluster } from './cluster.ts';

/** SIGKILL of the API server, and the first write that its successor lets through, before any cache of ours is warm. */
export async function killApiServer(
  { plane }: KubernetesCluster,
  write: () => Promise<unknown>,
): Promise<void> {
  const server = plane.children['kube-apiserver'];
  const { pid } = server;
  server.kill();
  await eventually('another process', () => server.pid !== undefined && server.pid !== pid);
  const written = () => write().then(() => true);
  await eventually('a write', written, { timeoutMs: 60_000, everyMs: 10 });
}
