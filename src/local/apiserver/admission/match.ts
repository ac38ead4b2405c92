import { type LabelSelector, matchesLabels } from '../../../api/label-selector.ts';
import type { KubeObject } from '../../../api/meta.ts';
import type { Served } from '../kinds.ts';

export interface Webhook {
  name: string;
  clientConfig: {
    url?: string;
    caBundle?: string;
    service?: { namespace: string; name: string; path?: string; port?: number };
  };
  rules?: {
    apiGroups: string[];
    apiVersions: string[];
    operations: string[];
    resources: string[];
    scope?: string;
  }[];
  namespaceSelector?: LabelSelector;
  objectSelector?: LabelSelector;
  failurePolicy?: 'Fail' | 'Ignore';
  matchPolicy?: 'Exact' | 'Equivalent';
  timeoutSeconds?: number;
  sideEffects?: string;
}

export interface Attributes {
  served: Served;
  subresource: string;
  operation: 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';
  name: string;
  namespace: string;
  object: KubeObject | undefined;
  oldObject: KubeObject | undefined;
  dryRun: boolean;
}

const includes = (list: string[], value: string): boolean => list.includes('*') || list.includes(value);

/** Whether a webhook wants to see a request. `namespaceLabels` is undefined for cluster-scoped objects. */
export function wants(
  hook: Webhook,
  attributes: Attributes,
  namespaceLabels: Record<string, string> | undefined,
): boolean {
  const { served, subresource, operation, object, oldObject } = attributes;
  const matched = (hook.rules ?? []).some(
    (rule) =>
      includes(rule.operations, operation) &&
      includes(rule.apiGroups, served.group) &&
      // With matchPolicy Equivalent any version of the same resource matches.
      (hook.matchPolicy !== 'Exact' || includes(rule.apiVersions, served.version)) &&
      rule.resources.some((resource) => matchesResource(resource, served.plural, subresource)) &&
      (!rule.scope || rule.scope === '*' || (rule.scope === 'Namespaced') === served.namespaced),
  );
  if (!matched) return false;
  const labelled = (each: KubeObject | undefined) =>
    each !== undefined && matchesLabels(hook.objectSelector ?? {}, each.metadata.labels ?? {});
  if (!labelled(object) && !labelled(oldObject)) return false;
  // A Namespace is selected by its own labels, other cluster-scoped objects always.
  const labels =
    served.group === '' && served.kind === 'Namespace'
      ? ((object ?? oldObject)?.metadata.labels ?? {})
      : namespaceLabels;
  return labels === undefined || matchesLabels(hook.namespaceSelector ?? {}, labels);
}

function matchesResource(pattern: string, plural: string, subresource: string): boolean {
  const [resource, sub = ''] = pattern.split('/') as [string, string?];
  if (pattern === '*/*') return true;
  return (resource === '*' || resource === plural) && (sub === '*' || sub === subresource);
}
