import { setTimeout as sleep } from 'node:timers/promises';
import { kinds } from '../../api/kinds.ts';
import { FIELD_MANAGER, labels } from '../../api/names.ts';
import type { KubeClient } from '../../kube/types.ts';
import { UNTRACKED } from '../../kube/untracked.ts';
import { isCode } from '../../lib/errors.ts';
import type { EffectContext } from './context.ts';

type Data = Record<string, string | null>;

const LONGEST_REST = 500;

interface Batch {
  data: Data;
  written: Promise<void>;
}

/**
 * Writes keys of the gate of a namespace, or of its pins; null removes one. All Rollouts of a namespace share one ConfigMap, so what comes
 * while a write is under way goes out together in the next one, and that one waits as long again as the one before took: with a
 * thousand names in it a write costs an API server ten times what others do, and it must not be all that a busy one is at.
 */
export class GateWriter {
  readonly #client: KubeClient;
  readonly #name: string;
  readonly #running = new Map<string, Promise<void>>();
  readonly #next = new Map<string, Batch>();

  constructor(client: KubeClient, name: string) {
    this.#client = client;
    this.#name = name;
  }

  /** Resolves when the keys are written. A caller that gives up takes nothing back: the keys may still be written. */
  write(namespace: string, data: Data, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const waiting = this.#next.get(namespace);
    if (waiting) {
      Object.assign(waiting.data, data);
      return waiting.written;
    }
    const running = this.#running.get(namespace);
    if (!running) return this.#start(namespace, { ...data }, signal);
    const batch: Batch = { data: { ...data }, written: Promise.resolve() };
    batch.written = running.then(() => {
      this.#next.delete(namespace);
      return this.#start(namespace, batch.data, signal);
    });
    this.#next.set(namespace, batch);
    return batch.written;
  }

  #start(namespace: string, data: Data, signal: AbortSignal): Promise<void> {
    const began = performance.now();
    const written = writeGate(this.#client, namespace, this.#name, data, signal);
    const rest = () => sleep(Math.min(LONGEST_REST, performance.now() - began), undefined, { ref: false });
    const settled = written.then(rest, () => {});
    const running = settled.finally(() => {
      if (this.#running.get(namespace) === running) this.#running.delete(namespace);
    });
    this.#running.set(namespace, running);
    return written;
  }
}

async function writeGate(
  client: KubeClient,
  namespace: string,
  name: string,
  data: Data,
  signal: AbortSignal,
): Promise<void> {
  const options = { fieldManager: FIELD_MANAGER, signal };
  for (let attempt = 0; ; attempt += 1) {
    try {
      await client.patch(
        kinds.ConfigMap,
        namespace,
        name,
        { type: 'merge', body: { metadata: UNTRACKED, data } },
        options,
      );
      return;
    } catch (error) {
      if (!isCode(error, 'NotFound') || attempt > 2) throw error;
    }
    const kept = Object.fromEntries(
      Object.entries(data).filter((entry): entry is [string, string] => entry[1] !== null),
    );
    if (Object.keys(kept).length === 0) return;
    try {
      await client.create(
        kinds.ConfigMap,
        {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: {
            name,
            namespace,
            labels: { [labels.managedBy]: 'weir', 'app.kubernetes.io/part-of': 'weir' },
          },
          data: kept,
        },
        options,
      );
      return;
    } catch (error) {
      if (!isCode(error, 'AlreadyExists')) throw error;
    }
  }
}

export async function ensureGateEntry(
  { gate, gated, namespace, rollout, spec }: EffectContext,
  signal: AbortSignal,
): Promise<void> {
  await gate.write(namespace, { [`deployment.${spec.targetRef.name}`]: rollout.metadata.name }, signal);
  gated();
}
