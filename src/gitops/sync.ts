import { kinds } from '../api/kinds.ts';
import type { Condition, KubeObject, ResourceKind } from '../api/meta.ts';
import type { KubeClient } from '../kube/types.ts';
import { canonicalJson } from '../lib/canonical.ts';
import { systemClock } from '../lib/clock.ts';
import { isCode, toAppError } from '../lib/errors.ts';
import type { Discovery } from './discovery.ts';
import { describe, inOrder, type Problem, type Rendered } from './render.ts';

export const FIELD_MANAGER = 'weir-gitops';
/** `disabled` on an object: leave it when its manifest is gone. */
export const PRUNE_ANNOTATION = 'gitops.weir.dev/prune';

/** What the agent keeps track of to know what to remove later. */
export interface InventoryEntry {
  apiVersion: string;
  kind: string;
  namespace?: string;
  name: string;
}

export interface Applied {
  entries: InventoryEntry[];
  problems: (Problem & { retryable: boolean })[];
  /** How many objects were written; with `onlyDrift`, how many had drifted. */
  written: number;
}

export interface SyncOptions {
  client: KubeClient;
  discovery: Discovery;
  /** For namespaced objects that name none. */
  namespace: string;
  signal: AbortSignal;
  /** Compare through a dry run first and write only what differs. */
  onlyDrift?: boolean;
}

/** Applies everything, group by group; one bad manifest never stops the others. */
export async function applyAll(objects: Rendered[], options: SyncOptions): Promise<Applied> {
  const result: Applied = { entries: [], problems: [], written: 0 };
  for (const group of inOrder(objects)) {
    await pooled(8, group, async (rendered) => {
      if (options.signal.aborted) return;
      try {
        const { entry, written } = await applyOne(rendered, options);
        result.entries.push(entry);
        if (written) result.written += 1;
      } catch (thrown) {
        const error = toAppError(thrown);
        result.problems.push({
          source: rendered.source,
          object: describe(rendered.object),
          message: error.message,
          retryable: error.retryable,
        });
        const { apiVersion = '', kind = '', metadata } = rendered.object;
        // It may be in the cluster from an earlier commit: being broken is no reason to remove it.
        result.entries.push({
          apiVersion,
          kind,
          ...(metadata.namespace ? { namespace: metadata.namespace } : {}),
          name: metadata.name,
        });
      }
    });
  }
  return result;
}

async function applyOne(
  { object }: Rendered,
  { client, discovery, namespace, signal, onlyDrift }: SyncOptions,
): Promise<{ entry: InventoryEntry; written: boolean }> {
  const kind = await discovery.kindOf(object, signal);
  const placed: KubeObject = kind.namespaced
    ? { ...object, metadata: { ...object.metadata, namespace: object.metadata.namespace ?? namespace } }
    : { ...object, metadata: withoutNamespace(object.metadata) };
  const { metadata } = placed;
  const entry: InventoryEntry = {
    apiVersion: object.apiVersion ?? '',
    kind: kind.kind,
    ...(metadata.namespace ? { namespace: metadata.namespace } : {}),
    name: metadata.name,
  };
  if (onlyDrift && (await equalsLive(client, kind, placed, signal))) return { entry, written: false };
  await client.apply(kind, placed, { fieldManager: FIELD_MANAGER, force: true, signal });
  if (kind.kind === 'CustomResourceDefinition') await established(client, metadata.name, signal);
  return { entry, written: true };
}

function withoutNamespace({
  namespace: _namespace,
  ...metadata
}: KubeObject['metadata']): KubeObject['metadata'] {
  return metadata as KubeObject['metadata'];
}

/** The comparison of Flux and Argo CD: what would the API server make of it, admission included? */
async function equalsLive(
  client: KubeClient,
  kind: ResourceKind,
  object: KubeObject,
  signal: AbortSignal,
): Promise<boolean> {
  const { namespace, name } = object.metadata;
  const live = await client.find<KubeObject>(kind, namespace, name, signal);
  if (!live) return false;
  const would = await client.apply(kind, object, {
    fieldManager: FIELD_MANAGER,
    force: true,
    dryRun: true,
    signal,
  });
  return canonicalJson(essence(live)) === canonicalJson(essence(would));
}

function essence({ status: _status, metadata, ...rest }: KubeObject): object {
  const { name, namespace, labels, annotations, finalizers, ownerReferences } = metadata;
  return { ...rest, metadata: { name, namespace, labels, annotations, finalizers, ownerReferences } };
}

async function established(client: KubeClient, name: string, signal: AbortSignal): Promise<void> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(30_000)]);
  for (;;) {
    const crd = await client.get<KubeObject>(kinds.CustomResourceDefinition, undefined, name, deadline);
    const conditions = (crd.status as { conditions?: Condition[] } | undefined)?.conditions ?? [];
    if (conditions.some(({ type, status }) => type === 'Established' && status === 'True')) return;
    await systemClock.sleep(50, deadline);
  }
}

export const keyOfEntry = ({ apiVersion, kind, namespace, name }: InventoryEntry): string =>
  `${apiVersion.replace(/\/?[^/]*$/, '')}|${kind}|${namespace ?? ''}|${name}`;

/** Removes what the last commit still had and this one has not. Answers what is left to remove another time. */
export async function prune(
  before: InventoryEntry[],
  now: InventoryEntry[],
  { client, discovery, signal }: SyncOptions,
): Promise<{ pruned: InventoryEntry[]; kept: InventoryEntry[]; problems: Problem[] }> {
  const wanted = new Set(now.map(keyOfEntry));
  const gone = before.filter((entry) => !wanted.has(keyOfEntry(entry)));
  // Against the order of applying: a namespace last, or what is in it would vanish first.
  gone.sort((a, b) => Number(a.kind === 'Namespace') - Number(b.kind === 'Namespace'));
  const pruned: InventoryEntry[] = [];
  const kept: InventoryEntry[] = [];
  const problems: Problem[] = [];
  for (const entry of gone) {
    try {
      const kind = await discovery.kindOf(entry, signal);
      const live = await client.find<KubeObject>(kind, entry.namespace, entry.name, signal);
      if (!live || live.metadata.annotations?.[PRUNE_ANNOTATION] === 'disabled') continue;
      await client.delete(kind, entry.namespace, entry.name, {
        propagationPolicy: 'Background',
        signal,
        ...(live.metadata.uid ? { preconditions: { uid: live.metadata.uid } } : {}),
      });
      pruned.push(entry);
    } catch (thrown) {
      if (isCode(thrown, 'NotFound')) continue;
      kept.push(entry);
      const { message } = toAppError(thrown);
      problems.push({
        source: { file: '(removed)', document: 0 },
        object: `${entry.kind} ${entry.namespace ? `${entry.namespace}/` : ''}${entry.name}`,
        message: `cannot be removed: ${message}`,
      });
    }
  }
  return { pruned, kept, problems };
}

async function pooled<T>(width: number, items: T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  await Promise.all(
    Array.from({ length: Math.min(width, items.length) }, async () => {
      for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
    }),
  );
}
