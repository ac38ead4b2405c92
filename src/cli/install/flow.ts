import type { KubeObject } from '../../api/meta.ts';
import { componentLabels, type InstallOptions } from './options.ts';

/**
 * Renewing the controller's lease does not queue behind what the controller asks for its Rollouts: the API server's priority
 * and fairness (KEP-1040) knows leader election of `kube-system` only, and counts everybody else's among their other requests.
 */
export function leaderElectionFlow({ namespace }: Pick<InstallOptions, 'namespace'>): KubeObject {
  return {
    apiVersion: 'flowcontrol.apiserver.k8s.io/v1',
    kind: 'FlowSchema',
    metadata: { name: 'weir-leader-election', labels: componentLabels('controller') },
    spec: {
      priorityLevelConfiguration: { name: 'leader-election' },
      // Before the API server's own schema for service accounts (9000), among those for leader election (100 and 200).
      matchingPrecedence: 200,
      distinguisherMethod: { type: 'ByUser' },
      rules: [
        {
          subjects: [{ kind: 'ServiceAccount', serviceAccount: { name: 'weir-controller', namespace } }],
          resourceRules: [
            {
              verbs: ['get', 'create', 'update'],
              apiGroups: ['coordination.k8s.io'],
              resources: ['leases'],
              namespaces: [namespace],
            },
          ],
        },
      ],
    },
  };
}
