import type { TrafficPolicy } from '../../api/traffic-policy.ts';

/** A TrafficPolicy in namespace `shop`, for tests; for all of Service `web` unless told otherwise. */
export function trafficPolicy(
  name: string,
  spec: object,
  options: { created?: string; targetRefs?: object[] } = {},
): TrafficPolicy {
  const { created = '2026-01-01T00:00:00Z', targetRefs = [{ name: 'web' }] } = options;
  return {
    apiVersion: 'weir.dev/v1alpha1',
    kind: 'TrafficPolicy',
    metadata: { name, namespace: 'shop', creationTimestamp: created, generation: 1 },
    spec: { targetRefs, ...spec },
  };
}
