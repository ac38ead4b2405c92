import { parseAllDocuments } from 'yaml';
import type { KubeObject } from '../api/meta.ts';
import { yamlProblem } from '../lib/yaml-problem.ts';
import type { SourceFile } from './repository.ts';

export interface Source {
  file: string;
  /** Place of the document in its file, from 1. */
  document: number;
}

export interface Rendered {
  object: KubeObject;
  source: Source;
}

export interface Problem {
  source: Source;
  /** `Kind namespace/name`, where that much is known. */
  object?: string;
  message: string;
}

export const describe = ({ kind, metadata }: KubeObject): string =>
  `${kind} ${metadata.namespace ? `${metadata.namespace}/` : ''}${metadata.name}`;

export const identity = ({ apiVersion, kind, metadata }: KubeObject): string =>
  `${(apiVersion ?? '').replace(/\/[^/]*$/, '').replace(/^v\d\w*$/, '')}|${kind}|${metadata.namespace ?? ''}|${metadata.name}`;

/** Manifests out of files. What cannot be read is a problem with its place; everything else goes on. */
export function renderFiles(files: SourceFile[]): { objects: Rendered[]; problems: Problem[] } {
  const objects: Rendered[] = [];
  const problems: Problem[] = [];
  const seen = new Map<string, Source>();
  const add = (value: unknown, source: Source): void => {
    if (value === null || value === undefined) return;
    const checked = check(value);
    if (typeof checked === 'string') {
      problems.push({ source, message: checked });
      return;
    }
    if (Array.isArray((checked as { items?: unknown }).items) && checked.kind?.endsWith('List')) {
      for (const item of (checked as unknown as { items: unknown[] }).items) add(item, source);
      return;
    }
    const key = identity(checked);
    const earlier = seen.get(key);
    if (earlier) {
      problems.push({
        source,
        object: describe(checked),
        message: `is already in ${earlier.file} (document ${earlier.document}): remove one of the two`,
      });
      return;
    }
    seen.set(key, source);
    objects.push({ object: checked, source });
  };
  for (const { path, text } of files) {
    for (const [index, document] of parseAllDocuments(text, { merge: true }).entries()) {
      const source = { file: path, document: index + 1 };
      const [error] = document.errors;
      if (error) {
        problems.push({ source, message: `is not YAML: ${yamlProblem(error)}` });
        continue;
      }
      try {
        add(document.toJS({ maxAliasCount: 100 }), source);
      } catch (thrown) {
        problems.push({ source, message: thrown instanceof Error ? thrown.message : String(thrown) });
      }
    }
  }
  return { objects, problems };
}

function check(value: unknown): KubeObject | string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return 'is not a manifest: an object with apiVersion, kind and metadata.name is expected';
  }
  const { apiVersion, kind, metadata, items } = value as Record<string, unknown>;
  if (typeof apiVersion !== 'string' || apiVersion === '') return 'has no apiVersion';
  if (typeof kind !== 'string' || kind === '') return 'has no kind';
  if (kind.endsWith('List') && Array.isArray(items))
    return { metadata: { name: '' }, ...value } as KubeObject;
  const name = (metadata as { name?: unknown } | undefined)?.name;
  if (typeof name !== 'string' || name === '') return `${kind} has no metadata.name`;
  return value as KubeObject;
}

/* What others name comes before what names it; Rollouts after the Deployments they guard. */
const ORDER = [
  'Namespace',
  'CustomResourceDefinition',
  'PriorityClass',
  'StorageClass',
  'ServiceAccount',
  'Secret',
  'ConfigMap',
  'ClusterRole',
  'ClusterRoleBinding',
  'Role',
  'RoleBinding',
  'PersistentVolumeClaim',
  'MetricTemplate',
  'Service',
  'Deployment',
  'StatefulSet',
  'DaemonSet',
  'Job',
  'CronJob',
];
const LAST = [
  'ValidatingWebhookConfiguration',
  'MutatingWebhookConfiguration',
  'ValidatingAdmissionPolicyBinding',
  'MutatingAdmissionPolicyBinding',
];

const rank = (kind: string | undefined): number => {
  const place = ORDER.indexOf(kind ?? '');
  if (place >= 0) return place;
  return ORDER.length + 1 + LAST.indexOf(kind ?? '');
};

/** Groups of objects that may be applied at the same time, in the order of the groups. */
export function inOrder(objects: Rendered[]): Rendered[][] {
  const groups = new Map<number, Rendered[]>();
  for (const rendered of objects) {
    const place = rank(rendered.object.kind);
    groups.set(place, [...(groups.get(place) ?? []), rendered]);
  }
  return [...groups.entries()].sort(([a], [b]) => a - b).map(([, group]) => group);
}
