import { kinds } from '../../../../src/api/kinds.ts';
import type { ResourceKind } from '../../../../src/api/meta.ts';
import { podTemplate } from '../fleet.ts';
import type { Peer } from './peer.ts';

const kind = (name: string, plural: string, namespaced = true): ResourceKind => ({
  group: 'argoproj.io',
  version: 'v1alpha1',
  kind: name,
  plural,
  namespaced,
});
const rollout = kind('Rollout', 'rollouts');
const ingress: ResourceKind = {
  group: 'networking.k8s.io',
  version: 'v1',
  kind: 'Ingress',
  plural: 'ingresses',
  namespaced: true,
};
/** Argo Rollouts with ingress-nginx's annotations as its traffic router, without analysis. */
export const argoRollouts: Peer = {
  name: 'Argo Rollouts',
  binary: 'rollouts-controller',
  flags: (kubeconfig) => [`--kubeconfig=${kubeconfig}`, '--leader-elect=false', '--loglevel=error'],
  kinds: [
    rollout,
    kind('AnalysisRun', 'analysisruns'),
    kind('AnalysisTemplate', 'analysistemplates'),
    kind('ClusterAnalysisTemplate', 'clusteranalysistemplates', false),
    kind('Experiment', 'experiments'),
  ],
  progressKind: rollout,
  progress: ({ metadata, status }) => {
    const { phase, observedGeneration, canary } = (status ?? {}) as {
      phase?: string;
      observedGeneration?: string;
      canary?: { weights?: { canary?: { weight?: number } } };
    };
    const seen = observedGeneration === String(metadata.generation);
    return {
      resting: phase === 'Healthy' && seen,
      begun: phase !== 'Healthy' && seen,
      weight: phase === 'Healthy' ? 0 : (canary?.weights?.canary?.weight ?? 0),
    };
  },
  async createApplication(application) {
    const { client, namespace, name } = application;
    for (const suffix of ['stable', 'canary'])
      await client.create(kinds.Service, {
        metadata: { name: `${name}-${suffix}`, namespace },
        spec: { selector: { app: name }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
      });
    const backend = { service: { name: `${name}-stable`, port: { number: 80 } } };
    await client.create(ingress, {
      metadata: { name, namespace },
      spec: {
        ingressClassName: 'nginx',
        rules: [{ host: `${name}.example`, http: { paths: [{ path: '/', pathType: 'Prefix', backend }] } }],
      },
    });
    // The workload is the Rollout itself.
    await argoRollouts.apply(application, 'v1');
  },
  guard: async () => {},
  apply: ({ client, namespace, name }, version) =>
    client.apply(
      rollout,
      {
        metadata: { name, namespace },
        spec: {
          replicas: 1,
          selector: { matchLabels: { app: name } },
          template: podTemplate(name, version),
          strategy: {
            canary: {
              canaryService: `${name}-canary`,
              stableService: `${name}-stable`,
              trafficRouting: { nginx: { stableIngress: name } },
              steps: [
                { setWeight: 10 },
                { pause: { duration: '1s' } },
                { setWeight: 50 },
                { pause: { duration: '1s' } },
              ],
            },
          },
        },
      },
      { fieldManager: 'gitops', force: true },
    ),
};
