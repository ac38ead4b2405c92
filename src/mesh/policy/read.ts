import { keyOf } from '../../api/meta.ts';
import { type TrafficPolicy, trafficPolicySpecSchema } from '../../api/traffic-policy.ts';
import { fieldPath } from '../../lib/field-path.ts';
import type { PolicySource } from './attach.ts';

export type ReadPolicy = { source: PolicySource } | { problem: string };

/** A TrafficPolicy as it is stored; the problem names its fields. The CRD refuses most, but may be older or younger than this. */
export function readPolicy(object: TrafficPolicy): ReadPolicy {
  const parsed = trafficPolicySpecSchema.safeParse(object.spec);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(
      ({ path, message }) => `${fieldPath(['spec', ...path])}: ${message}`,
    );
    return { problem: problems.join('; ') };
  }
  const { name, namespace = 'default', creationTimestamp = '' } = object.metadata;
  return { source: { key: keyOf(object), name, namespace, created: creationTimestamp, spec: parsed.data } };
}
