import type { ResourceKind } from '../../../api/meta.ts';
import type { KubeClient } from '../../../kube/types.ts';

interface GroupVersionResources {
  resources?: { name: string; kind: string; namespaced: boolean; verbs: string[] }[];
}

// Events come by the thousand, own nothing, and are owned by nothing.
const IGNORED = new Set(['events']);

/** Every kind that can be listed, watched and deleted, in its group's preferred version. */
export async function discoverKinds(client: KubeClient, signal?: AbortSignal): Promise<ResourceKind[]> {
  const { groups } = (await client.request('GET', '/apis', { signal })) as {
    groups: { name: string; preferredVersion?: { version: string }; versions: { version: string }[] }[];
  };
  const sources = [
    { group: '', version: 'v1', path: '/api/v1' },
    ...groups.map(({ name, preferredVersion, versions }) => {
      const version = preferredVersion?.version ?? versions[0]!.version;
      return { group: name, version, path: `/apis/${name}/${version}` };
    }),
  ];
  const found = await Promise.all(
    sources.map(async ({ group, version, path }) => {
      const { resources = [] } = (await client.request('GET', path, { signal })) as GroupVersionResources;
      return resources
        .filter(
          ({ name, verbs }) =>
            !name.includes('/') &&
            !IGNORED.has(name) &&
            ['list', 'watch', 'delete'].every((verb) => verbs.includes(verb)),
        )
        .map(
          ({ name, kind, namespaced }): ResourceKind => ({ group, version, kind, plural: name, namespaced }),
        );
    }),
  );
  return found.flat();
}
