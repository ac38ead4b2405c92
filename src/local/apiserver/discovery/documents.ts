import type { Served } from '../kinds.ts';
import type { Registry } from '../registry.ts';

const VERBS = ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'];

interface Subresource {
  name: string;
  kind: { group: string; version: string; kind: string };
  verbs: string[];
}

function subresources(served: Served): Subresource[] {
  const own = { group: served.group, version: served.version, kind: served.kind };
  const list: Subresource[] = [];
  if (served.status) list.push({ name: 'status', kind: own, verbs: ['get', 'patch', 'update'] });
  if (served.scale)
    list.push({
      name: 'scale',
      kind: { group: 'autoscaling', version: 'v1', kind: 'Scale' },
      verbs: ['get', 'patch', 'update'],
    });
  if (served.group === '' && served.kind === 'Pod')
    list.push(
      { name: 'log', kind: own, verbs: ['get'] },
      { name: 'eviction', kind: { group: 'policy', version: 'v1', kind: 'Eviction' }, verbs: ['create'] },
      { name: 'binding', kind: { group: '', version: 'v1', kind: 'Binding' }, verbs: ['create'] },
    );
  if (served.group === '' && served.kind === 'ServiceAccount')
    list.push({
      name: 'token',
      kind: { group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest' },
      verbs: ['create'],
    });
  if (served.group === '' && served.kind === 'Namespace')
    list.push({ name: 'finalize', kind: own, verbs: ['update'] });
  return list;
}

const verbsOf = (served: Served): string[] => (served.virtual ? ['create'] : VERBS);

/** `APIResourceList` of one group and version. */
export function resourceList(registry: Registry, group: string, version: string): object | undefined {
  const all = registry.all().filter((served) => served.group === group && served.version === version);
  if (all.length === 0) return undefined;
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: group ? `${group}/${version}` : version,
    resources: all.flatMap((served) => [
      {
        name: served.plural,
        singularName: served.singular,
        namespaced: served.namespaced,
        kind: served.kind,
        verbs: verbsOf(served),
        ...(served.shortNames.length > 0 ? { shortNames: served.shortNames } : {}),
        ...(served.categories.length > 0 ? { categories: served.categories } : {}),
      },
      ...subresources(served).map(({ name, kind, verbs }) => ({
        name: `${served.plural}/${name}`,
        singularName: '',
        namespaced: served.namespaced,
        ...(kind.group !== served.group || kind.version !== served.version
          ? { group: kind.group, version: kind.version }
          : {}),
        kind: kind.kind,
        verbs,
      })),
    ]),
  };
}

const versionsOf = (registry: Registry, group: string): string[] => [
  ...new Set(
    registry
      .all()
      .filter((served) => served.group === group)
      .map(({ version }) => version),
  ),
];

export function apiGroup(registry: Registry, name: string): object | undefined {
  const versions = versionsOf(registry, name).map((version) => ({
    groupVersion: `${name}/${version}`,
    version,
  }));
  if (name === '' || versions.length === 0) return undefined;
  return { name, versions, preferredVersion: versions[0] };
}

export const apiGroupList = (registry: Registry): object => ({
  kind: 'APIGroupList',
  apiVersion: 'v1',
  groups: registry.groups().map((name) => apiGroup(registry, name)),
});

export const apiVersions = (address: string): object => ({
  kind: 'APIVersions',
  versions: ['v1'],
  serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress: address }],
});

/** Aggregated discovery (KEP-3352): everything in one answer. `core` for /api, the rest for /apis. */
export function aggregated(registry: Registry, core: boolean): object {
  const groups = core ? [''] : registry.groups();
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: 'apidiscovery.k8s.io/v2',
    metadata: {},
    items: groups.map((group) => ({
      metadata: { name: group, creationTimestamp: null },
      versions: versionsOf(registry, group).map((version) => ({
        version,
        freshness: 'Current',
        resources: registry
          .all()
          .filter((served) => served.group === group && served.version === version)
          .map(aggregatedResource),
      })),
    })),
  };
}

function aggregatedResource(served: Served): object {
  const { group, version, kind } = served;
  const subs = subresources(served);
  return {
    resource: served.plural,
    responseKind: { group, version, kind },
    scope: served.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: served.singular,
    verbs: verbsOf(served),
    ...(served.shortNames.length > 0 ? { shortNames: served.shortNames } : {}),
    ...(served.categories.length > 0 ? { categories: served.categories } : {}),
    ...(subs.length > 0
      ? {
          subresources: subs.map(({ name, kind: responseKind, verbs }) => ({
            subresource: name,
            responseKind,
            verbs,
          })),
        }
      : {}),
  };
}

export const VERSION = {
  major: '1',
  minor: '32',
  gitVersion: 'v1.32.0+weir',
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '2025-01-01T00:00:00Z',
  goVersion: '',
  compiler: 'node',
  platform: `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`,
};
