import { type Document, parseAllDocuments, stringify } from 'yaml';
import { AppError } from '../../lib/errors.ts';
import { yamlProblem } from '../../lib/yaml-problem.ts';
import type { InjectOptions } from './options.ts';
import { injectPodTemplate, skipReason, uninjectPodTemplate } from './patch.ts';
import type { PodLike } from './pod.ts';

interface Manifest {
  kind?: string;
  metadata?: { name?: string; namespace?: string };
  items?: unknown[];
  spec?: { template?: PodLike; jobTemplate?: { spec?: { template?: PodLike } }; [field: string]: unknown };
  [field: string]: unknown;
}

/** What became of each workload, for the summary on stderr. */
export interface ManifestResult {
  resource: string;
  changed: boolean;
  reason?: string;
}

export interface ManifestOutput {
  yaml: string;
  results: ManifestResult[];
}

const TEMPLATED = new Set([
  'Deployment',
  'ReplicaSet',
  'StatefulSet',
  'DaemonSet',
  'Job',
  'ReplicationController',
]);

/** `weir inject`: the sidecar in every workload of a YAML stream; what is not a workload passes unchanged. */
export function injectManifests(text: string, options: Omit<InjectOptions, 'enabled'>): ManifestOutput {
  return transform(text, (pod, manifest) => {
    const settings: InjectOptions = {
      ...options,
      enabled: true,
      namespace: manifest.metadata?.namespace ?? options.namespace,
      ...(manifest.kind !== 'Pod' && manifest.metadata?.name ? { workload: manifest.metadata.name } : {}),
    };
    const reason = skipReason(pod, settings);
    return reason === undefined ? { pod: injectPodTemplate(pod, settings) } : { pod, reason };
  });
}

/** `weir uninject`: the inverse. */
export function uninjectManifests(text: string): ManifestOutput {
  return transform(text, (pod) => {
    const next = uninjectPodTemplate(pod);
    return next === pod ? { pod, reason: 'it has no sidecar' } : { pod: next };
  });
}

type Change = (pod: PodLike, manifest: Manifest) => { pod: PodLike; reason?: string };

function transform(text: string, change: Change): ManifestOutput {
  const results: ManifestResult[] = [];
  const documents = parseAllDocuments(text) as Document[];
  const parts = documents.map((document, index) => {
    const [error] = document.errors;
    if (error)
      throw new AppError('Invalid', `Document ${index + 1} is not YAML: ${yamlProblem(error)}`, {
        cause: error,
      });
    const value = document.toJS() as Manifest | null;
    if (value === null || typeof value !== 'object') return document.toString();
    const next = visit(value, change, results);
    // A document that stays as it is keeps its comments and layout.
    return next === value ? document.toString() : stringify(next, { lineWidth: 0 });
  });
  return { yaml: parts.map((part) => part.replace(/^---\n/, '')).join('---\n'), results };
}

function visit(manifest: Manifest, change: Change, results: ManifestResult[]): Manifest {
  if (Array.isArray(manifest.items)) {
    const items = manifest.items.map((item) => visit(item as Manifest, change, results));
    return items.some((item, index) => item !== manifest.items![index]) ? { ...manifest, items } : manifest;
  }
  const apply = (pod: PodLike): PodLike => {
    const { pod: next, reason } = change(pod, manifest);
    results.push({
      resource: `${(manifest.kind ?? '?').toLowerCase()}/${manifest.metadata?.name ?? '?'}`,
      changed: next !== pod,
      ...(reason === undefined ? {} : { reason }),
    });
    return next;
  };
  if (manifest.kind === 'Pod') return apply(manifest as PodLike) as Manifest;
  if (manifest.kind === 'CronJob') {
    const template = manifest.spec?.jobTemplate?.spec?.template;
    if (!template) return manifest;
    const next = apply(template);
    if (next === template) return manifest;
    const { jobTemplate } = manifest.spec!;
    return {
      ...manifest,
      spec: {
        ...manifest.spec,
        jobTemplate: { ...jobTemplate, spec: { ...jobTemplate!.spec, template: next } },
      },
    };
  }
  const template = manifest.spec?.template;
  if (!manifest.kind || !TEMPLATED.has(manifest.kind) || !template) return manifest;
  const next = apply(template);
  return next === template ? manifest : { ...manifest, spec: { ...manifest.spec, template: next } };
}
