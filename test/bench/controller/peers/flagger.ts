import type { ResourceKind } from '../../../../src/api/meta.ts';
import { applyDeployment } from '../fleet.ts';
import type { Peer } from './peer.ts';

const kind = (group: string, version: string, name: string, plural: string): ResourceKind => ({
  group,
  version,
  kind: name,
  plural,
  namespaced: true,
});
const canary = kind('flagger.app', 'v1beta1', 'Canary', 'canaries');

/** Flagger with the Gateway API, without metrics to ask for, at its shortest interval. */
export const flagger: Peer = {
  name: 'Flagger',
  binary: 'flagger',
  flags: (kubeconfig) => [
    `-kubeconfig=${kubeconfig}`,
    '-mesh-provider=gatewayapi:v1',
    // Never asked: the canaries have no metrics.
    '-metrics-server=http://127.0.0.1:9',
    '-log-level=error',
  ],
  kinds: [
    canary,
    kind('flagger.app', 'v1beta1', 'MetricTemplate', 'metrictemplates'),
    kind('flagger.app', 'v1beta1', 'AlertProvider', 'alertproviders'),
    kind('gateway.networking.k8s.io', 'v1', 'HTTPRoute', 'httproutes'),
  ],
  progressKind: canary,
  progress: ({ status }) => {
    const { phase, canaryWeight } = (status ?? {}) as { phase?: string; canaryWeight?: number };
    const resting = phase === 'Initialized' || phase === 'Succeeded';
    return { resting, begun: !resting, weight: canaryWeight ?? 0 };
  },
  createApplication: (application) => flagger.apply(application, 'v1'),
  guard: ({ client, namespace, name }) =>
    client.create(canary, {
      metadata: { name, namespace },
      spec: {
        provider: 'gatewayapi:v1',
        targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name },
        service: { port: 80, targetPort: 8080, gatewayRefs: [{ name: 'bench', namespace }] },
        analysis: { interval: '10s', threshold: 5, stepWeights: [10, 50], metrics: [] },
      },
    }),
  // It scales the target itself: Git says nothing of replicas.
  apply: ({ client, namespace, name }, version) =>
    applyDeployment(client, namespace, name, version, undefined),
};
