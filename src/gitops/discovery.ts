import { kinds } from '../api/kinds.ts';
import type { KubeObject, ResourceKind } from '../api/meta.ts';
import type { KubeClient } from '../kube/types.ts';
import { AppError, isCode } from '../lib/errors.ts';

interface ResourceList {
  resources?: { name: string; kind: string; namespaced: boolean }[];
}

const known = new Map<string, ResourceKind>(
  Object.values(kinds).map((kind) => [
    `${kind.group === '' ? '' : `${kind.group}/`}${kind.version}/${kind.kind}`,
    kind,
  ]),
);

/** Finds the URL of any kind: from the table of what Weir itself uses, else from the API server's discovery. */
export class Discovery {
  readonly #client: KubeClient;
  readonly #groups = new Map<string, Promise<ResourceList>>();

  constructor(client: KubeClient) {
    this.#client = client;
  }

  async kindOf(object: Pick<KubeObject, 'apiVersion' | 'kind'>, signal?: AbortSignal): Promise<ResourceKind> {
    const { apiVersion, kind } = object;
    if (!apiVersion || !kind) {
      throw new AppError('Invalid', 'an object needs apiVersion and kind');
    }
    const found = known.get(`${apiVersion}/${kind}`);
    if (found) return found;
    const slash = apiVersion.indexOf('/');
    const group = slash < 0 ? '' : apiVersion.slice(0, slash);
    const version = apiVersion.slice(slash + 1);
    const { resources = [] } = await this.#resources(group, version, signal);
    const resource = resources.find((entry) => entry.kind === kind && !entry.name.includes('/'));
    if (!resource) {
      // A CRD of this very commit may serve it in a moment: do not remember the answer.
      this.#groups.delete(`${group}/${version}`);
      throw new AppError(
        'NotFound',
        `the API server serves no kind "${kind}" in ${apiVersion}: install its CustomResourceDefinition first`,
        { retryable: true },
      );
    }
    return { group, version, kind, plural: resource.name, namespaced: resource.namespaced };
  }

  #resources(group: string, version: string, signal: AbortSignal | undefined): Promise<ResourceList> {
    const key = `${group}/${version}`;
    const cached = this.#groups.get(key);
    if (cached) return cached;
    const path = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
    const answer = this.#client
      .request('GET', path, signal ? { signal } : {})
      .then((list) => list as ResourceList)
      .catch((error: unknown) => {
        this.#groups.delete(key);
        if (isCode(error, 'NotFound')) return {};
        throw error;
      });
    this.#groups.set(key, answer);
    return answer;
  }
}
