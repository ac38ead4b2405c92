import type { KubeObject } from '../../api/meta.ts';
import { badRequest } from './errors.ts';
import { at } from './json.ts';

export type Matcher = (object: KubeObject) => boolean;

const REQUIREMENT =
  /^\s*(?:(!)\s*([^\s=!,()]+)|([^\s=!,()]+)(?:\s*(==|=|!=)\s*([^\s,()]*)|\s+(in|notin)\s*\(([^)]*)\))?)\s*$/;

/** Splits at commas outside parentheses. */
function splitTerms(text: string): string[] {
  return text.match(/(?:[^,(]|\([^)]*\))+/g) ?? [];
}

/** Parses the query form of a label selector (`a=b,c!=d,e in (f,g),!h,i`). */
export function parseLabelSelector(text: string): (labels: Record<string, string>) => boolean {
  const tests = splitTerms(text).map((term) => {
    const match = REQUIREMENT.exec(term);
    if (!match) throw badRequest(`unable to parse requirement: ${term}`);
    const [, not, absent, key, operator, value = '', set, values = ''] = match;
    if (not) return (labels: Record<string, string>) => !(absent! in labels);
    const name = key!;
    if (set) {
      const wanted = new Set(values.split(',').map((each) => each.trim()));
      return set === 'in'
        ? (labels: Record<string, string>) => name in labels && wanted.has(labels[name]!)
        : (labels: Record<string, string>) => !(name in labels) || !wanted.has(labels[name]!);
    }
    if (operator === '!=') return (labels: Record<string, string>) => labels[name] !== value;
    if (operator) return (labels: Record<string, string>) => labels[name] === value;
    return (labels: Record<string, string>) => name in labels;
  });
  return (labels) => tests.every((test) => test(labels));
}

/** Fields that can be selected, by kind; others answer 400 as the real server does. */
const FIELDS: Record<string, string[]> = {
  Pod: [
    'spec.nodeName',
    'spec.restartPolicy',
    'spec.schedulerName',
    'spec.serviceAccountName',
    'spec.hostNetwork',
    'status.phase',
    'status.podIP',
    'status.nominatedNodeName',
  ],
  Event: [
    ...['kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath'].map(
      (name) => `involvedObject.${name}`,
    ),
    'reason',
    'reportingComponent',
    'source',
    'type',
  ],
  Node: ['spec.unschedulable'],
  Namespace: ['status.phase'],
  Secret: ['type'],
  Service: ['spec.clusterIP', 'spec.type'],
  ReplicaSet: ['status.replicas'],
};

export function parseFieldSelector(text: string, kind: string, extra: string[] = []): Matcher {
  const tests = splitTerms(text).map((term): Matcher => {
    const match = /^\s*([^=!\s]+)\s*(==|=|!=)\s*(.*?)\s*$/.exec(term);
    if (!match) throw badRequest(`invalid field selector: ${term}`);
    const [, path, operator, value] = match as unknown as [string, string, string, string];
    const known = ['metadata.name', 'metadata.namespace', ...(FIELDS[kind] ?? []), ...extra];
    if (!known.includes(path)) throw badRequest(`field label not supported: ${path}`);
    const keys = path === 'source' ? ['source', 'component'] : path.split('.');
    return (object) => {
      const found = at(object, ...keys);
      const equal =
        String(found ?? (path.endsWith('unschedulable') || path.endsWith('hostNetwork') ? false : '')) ===
        value;
      return operator === '!=' ? !equal : equal;
    };
  });
  return (object) => tests.every((test) => test(object));
}

/** Both selectors of a request as one test; undefined when everything matches. */
export function compileSelectors(
  kind: string,
  labelSelector: string | null,
  fieldSelector: string | null,
  extraFields: string[] = [],
): Matcher | undefined {
  const labels = labelSelector ? parseLabelSelector(labelSelector) : undefined;
  const fields = fieldSelector ? parseFieldSelector(fieldSelector, kind, extraFields) : undefined;
  if (!labels && !fields) return undefined;
  return (object) => (!labels || labels(object.metadata.labels ?? {})) && (!fields || fields(object));
}
