import { kinds } from '../api/kinds.ts';
import type { KubeObject } from '../api/meta.ts';
import { labels } from '../api/names.ts';
import type { KubeClient } from '../kube/types.ts';
import { FIELD_MANAGER, type InventoryEntry } from './sync.ts';

export interface Inventory {
  commit: string;
  entries: InventoryEntry[];
}

const nameOf = (agent: string): string => `weir-gitops-${agent}`;

/** What the agent applied, kept in the cluster: a new agent knows what an old one has to answer for. */
export async function readInventory(
  client: KubeClient,
  namespace: string,
  agent: string,
  signal: AbortSignal,
): Promise<Inventory> {
  const found = await client.find<KubeObject>(kinds.ConfigMap, namespace, nameOf(agent), signal);
  const data = (found?.data ?? {}) as { commit?: string; inventory?: string };
  try {
    return { commit: data.commit ?? '', entries: JSON.parse(data.inventory ?? '[]') as InventoryEntry[] };
  } catch {
    // Somebody edited it: nothing is removed that it does not name.
    return { commit: '', entries: [] };
  }
}

export async function writeInventory(
  client: KubeClient,
  namespace: string,
  agent: string,
  inventory: Inventory,
  signal: AbortSignal,
): Promise<KubeObject> {
  const entries = [...inventory.entries].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  return client.apply<KubeObject>(
    kinds.ConfigMap,
    {
      metadata: { name: nameOf(agent), namespace, labels: { [labels.managedBy]: FIELD_MANAGER } },
      data: { commit: inventory.commit, inventory: JSON.stringify(entries) },
    },
    { fieldManager: FIELD_MANAGER, force: true, signal },
  );
}
