import type { KubeObject, ResourceKind } from '../api/meta.ts';
import type { Rank } from './rank.ts';

export interface ListOptions {
  labelSelector?: string;
  fieldSelector?: string;
  limit?: number;
  continue?: string;
  resourceVersion?: string;
}

export interface WriteOptions {
  fieldManager?: string;
  dryRun?: boolean;
  subresource?: 'status' | 'scale';
  /** Server-side apply only. */
  force?: boolean;
  signal?: AbortSignal;
  /** Before which of this client's other calls it goes; default: `later`. */
  rank?: Rank;
}

export interface DeleteOptions {
  propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
  preconditions?: { uid?: string; resourceVersion?: string };
  gracePeriodSeconds?: number;
  signal?: AbortSignal;
}

export interface KubeList<T> {
  items: T[];
  metadata: { resourceVersion: string; continue?: string };
}

export type WatchEvent<T> =
  | { type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: T }
  | {
      type: 'BOOKMARK';
      object: { metadata: { resourceVersion: string; annotations?: Record<string, string> } };
    }
  | { type: 'ERROR'; object: { code?: number; reason?: string; message?: string } };

export interface Patch {
  type: 'json' | 'merge' | 'strategic';
  body: unknown;
}

export interface RequestOptions extends Pick<WriteOptions, 'signal' | 'rank'> {
  body?: unknown;
  contentType?: string;
}

/**
 * Raw JSON in and out: a typed client drops fields it does not know, and a pod template copied that way is not the
 * template that was reviewed. Every call throws AppError with the code of the server's Status (NotFound, Conflict, …).
 * `namespace` is undefined for cluster-scoped kinds and for lists over all namespaces.
 */
export interface KubeClient {
  get<T extends KubeObject>(
    kind: ResourceKind,
    namespace: string | undefined,
    name: string,
    signal?: AbortSignal,
  ): Promise<T>;
  /** Like get, but undefined when there is none. */
  find<T extends KubeObject>(
    kind: ResourceKind,
    namespace: string | undefined,
    name: string,
    signal?: AbortSignal,
  ): Promise<T | undefined>;
  list<T extends KubeObject>(
    kind: ResourceKind,
    namespace: string | undefined,
    options?: ListOptions,
    signal?: AbortSignal,
  ): Promise<KubeList<T>>;
  create<T extends KubeObject>(kind: ResourceKind, object: T, options?: WriteOptions): Promise<T>;
  /** PUT; carries the object's resourceVersion as the precondition when it has one. */
  replace<T extends KubeObject>(kind: ResourceKind, object: T, options?: WriteOptions): Promise<T>;
  patch<T extends KubeObject>(
    kind: ResourceKind,
    namespace: string | undefined,
    name: string,
    patch: Patch,
    options?: WriteOptions,
  ): Promise<T>;
  /** Server-side apply; the object needs name (and namespace); apiVersion and kind are filled in. */
  apply<T extends KubeObject>(
    kind: ResourceKind,
    object: T,
    options: WriteOptions & { fieldManager: string },
  ): Promise<T>;
  delete(
    kind: ResourceKind,
    namespace: string | undefined,
    name: string,
    options?: DeleteOptions,
  ): Promise<void>;
  /** One watch request, from `resourceVersion` until the server ends it; ends quietly when aborted. */
  watch<T extends KubeObject>(
    kind: ResourceKind,
    namespace: string | undefined,
    options: ListOptions & { allowWatchBookmarks?: boolean; timeoutSeconds?: number },
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>>;
  /** Anything else (`/version`, tokenreviews, pods/log): parsed JSON, or text when it is not JSON. */
  request(method: string, path: string, options?: RequestOptions): Promise<unknown>;
}
