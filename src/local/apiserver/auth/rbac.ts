import { type LabelSelector, matchesLabels } from '../../../api/label-selector.ts';
import type { User } from '../http/request.ts';
import type { Store } from '../storage/store.ts';

export interface Attributes {
  verb: string;
  group: string;
  resource: string;
  subresource: string;
  namespace: string;
  name: string;
}

interface Rule {
  verbs: string[];
  apiGroups?: string[];
  resources?: string[];
  resourceNames?: string[];
  nonResourceURLs?: string[];
}

interface Binding {
  subjects?: { kind: string; name: string; namespace?: string }[];
  roleRef: { kind: string; name: string };
}

const RBAC = 'rbac.authorization.k8s.io';

// What every authenticated user may do on a real cluster, without stored roles for it.
const EVERYONE: Rule[] = [
  {
    verbs: ['create'],
    apiGroups: ['authorization.k8s.io'],
    resources: ['selfsubjectaccessreviews', 'selfsubjectrulesreviews'],
  },
  {
    verbs: ['get'],
    nonResourceURLs: [
      '/api',
      '/api/*',
      '/apis',
      '/apis/*',
      '/openapi',
      '/openapi/*',
      '/version',
      '/version/',
      '/healthz',
      '/livez',
      '/readyz',
    ],
  },
];

/** Roles and bindings as stored, evaluated per request: the local store is in memory. */
export class Rbac {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  allows(user: User, attributes: Attributes): boolean {
    if (user.groups.includes('system:masters')) return true;
    return this.#rules(user, attributes.namespace).some((rule) => covers(rule, attributes));
  }

  allowsPath(user: User, verb: string, path: string): boolean {
    if (user.groups.includes('system:masters')) return true;
    return this.#rules(user, '').some(
      (rule) =>
        has(rule.verbs, verb) &&
        (rule.nonResourceURLs ?? []).some(
          (url) => url === '*' || url === path || (url.endsWith('*') && path.startsWith(url.slice(0, -1))),
        ),
    );
  }

  #rules(user: User, namespace: string): Rule[] {
    const rules = user.groups.includes('system:authenticated') ? [...EVERYONE] : [];
    for (const { object } of this.#store.list(`${RBAC}/clusterrolebindings`)) {
      const binding = object as unknown as Binding;
      if (binds(binding, user, '')) rules.push(...this.#clusterRole(binding.roleRef.name));
    }
    if (namespace)
      for (const { object } of this.#store.list(`${RBAC}/rolebindings`, namespace)) {
        const binding = object as unknown as Binding;
        if (!binds(binding, user, namespace)) continue;
        const { kind, name } = binding.roleRef;
        if (kind === 'ClusterRole') rules.push(...this.#clusterRole(name));
        else
          rules.push(...((this.#store.get(`${RBAC}/roles`, namespace, name)?.object.rules ?? []) as Rule[]));
      }
    return rules;
  }

  #clusterRole(name: string): Rule[] {
    if (name === 'cluster-admin')
      return [
        { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
        { verbs: ['*'], nonResourceURLs: ['*'] },
      ];
    const role = this.#store.get(`${RBAC}/clusterroles`, '', name)?.object;
    if (!role) return [];
    const selectors = (role.aggregationRule as { clusterRoleSelectors?: LabelSelector[] } | undefined)
      ?.clusterRoleSelectors;
    if (!selectors) return (role.rules ?? []) as Rule[];
    return this.#store
      .list(`${RBAC}/clusterroles`)
      .filter(({ object }) =>
        selectors.some((selector) => matchesLabels(selector, object.metadata.labels ?? {})),
      )
      .flatMap(({ object }) => (object.rules ?? []) as Rule[]);
  }
}

const has = (list: string[] | undefined, value: string): boolean =>
  list?.some((each) => each === '*' || each === value) ?? false;

function covers(rule: Rule, { verb, group, resource, subresource, name }: Attributes): boolean {
  const full = subresource ? `${resource}/${subresource}` : resource;
  return (
    has(rule.verbs, verb) &&
    has(rule.apiGroups, group) &&
    (has(rule.resources, full) ||
      (subresource !== '' && (rule.resources?.includes(`*/${subresource}`) ?? false))) &&
    (!rule.resourceNames?.length || rule.resourceNames.includes(name))
  );
}

function binds({ subjects = [] }: Binding, user: User, namespace: string): boolean {
  return subjects.some(({ kind, name, namespace: own }) => {
    if (kind === 'User') return name === user.username;
    if (kind === 'Group') return user.groups.includes(name);
    return kind === 'ServiceAccount' && user.username === `system:serviceaccount:${own ?? namespace}:${name}`;
  });
}

/** The sentence that kubectl shows. */
export function denial(user: User, { verb, group, resource, subresource, namespace }: Attributes): string {
  const what = subresource ? `${resource}/${subresource}` : resource;
  const where = namespace ? `in the namespace "${namespace}"` : 'at the cluster scope';
  return `User "${user.username}" cannot ${verb} resource "${what}" in API group "${group}" ${where}`;
}
