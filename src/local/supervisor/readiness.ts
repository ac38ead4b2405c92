import { kinds } from '../../api/kinds.ts';
import type { KubeObject } from '../../api/meta.ts';
import { type Client, connect } from '../../kube/index.ts';

/** Whether the API server answers and has a node that is Ready. */
export async function answers(client: Client): Promise<boolean> {
  try {
    await client.request('GET', '/readyz');
    const { items } = await client.list<KubeObject>(kinds.Node, undefined);
    return items.some(({ status }) =>
      (status as { conditions?: { type: string; status: string }[] } | undefined)?.conditions?.some(
        (each) => each.type === 'Ready' && each.status === 'True',
      ),
    );
  } catch {
    return false;
  }
}

/** The same of the cluster that a kubeconfig names, with a connection of its own. */
export async function isReady(kubeconfig: string): Promise<boolean> {
  let client: Client | undefined;
  try {
    client = await connect({ kubeconfig, callTimeoutMs: 2000 });
    return await answers(client);
  } catch {
    return false;
  } finally {
    client?.close();
  }
}
