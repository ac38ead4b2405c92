import { labels } from '../api/names.ts';
import { digestOf } from '../lib/canonical.ts';

export interface PodTemplate {
  metadata?: {
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    [field: string]: unknown;
  };
  spec?: { containers?: { image?: string }[]; [field: string]: unknown };
  [field: string]: unknown;
}

/** sha-256 of a defaulted pod template without the hash label and null fields: equal for Deployment and ReplicaSet. */
export function templateDigest(template: PodTemplate): string {
  const { [labels.podTemplateHash]: _hash, ...kept } = template.metadata?.labels ?? {};
  const { creationTimestamp: _created, ...metadata } = template.metadata ?? {};
  return digestOf({ ...template, metadata: { ...metadata, labels: kept } });
}

export const imagesOf = (template: PodTemplate): string[] =>
  (template.spec?.containers ?? []).flatMap(({ image }) => (image ? [image] : []));
