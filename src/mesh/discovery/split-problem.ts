import type { TrafficSplit } from '../../api/traffic-split.ts';

/**
 * Why a TrafficSplit rules nothing; undefined: it does. Others bring its definition too, and theirs lets in more than ours: one
 * object must not end the whole mesh's control plane, nor a weight that is no number rule anything.
 */
export function splitProblem({ spec }: { spec?: Partial<TrafficSplit['spec']> }): string | undefined {
  const { service, backends, matches } = spec ?? {};
  if (typeof service !== 'string') return 'spec.service is missing';
  if (!Array.isArray(backends) || backends.length === 0) return 'spec.backends is empty';
  for (const [index, each] of backends.entries()) {
    if (typeof each.service !== 'string') return `spec.backends[${index}].service is missing`;
    if (!(Number.isFinite(each.weight) && each.weight >= 0))
      return `spec.backends[${index}].weight is no number of 0 or more`;
  }
  // Meant for some requests: for all of them, its weights would be another split than the one written.
  if (Array.isArray(matches) && matches.length > 0) return 'spec.matches is not served';
  return undefined;
}
