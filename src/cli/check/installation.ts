import { kinds } from '../../api/kinds.ts';
import type { Condition, KubeObject } from '../../api/meta.ts';
import { labels } from '../../api/names.ts';
import type { Rollout } from '../../api/rollout.ts';
import type { TrafficPolicy } from '../../api/traffic-policy.ts';
import { available } from '../install/apply.ts';
import { crdManifests } from '../install/manifests.ts';
import { admission, gate } from './admission.ts';
import { type Answer, type Check, type CheckGroup, failed, INSTALL, ok, warning } from './model.ts';

const crds: Check = {
  name: 'CRDs',
  hint: INSTALL,
  async run({ client, signal }) {
    return Promise.all(
      crdManifests().map(async ({ metadata: { name } }): Promise<Answer> => {
        const crd = await client.find<KubeObject>(kinds.CustomResourceDefinition, undefined, name, signal);
        if (!crd) return failed(`${name} is not installed`, INSTALL);
        const conditions = (crd.status as { conditions?: Condition[] } | undefined)?.conditions ?? [];
        return conditions.some(({ type, status }) => type === 'Established' && status === 'True')
          ? ok(`${name} is served`)
          : failed(`${name} is not established`, `Look at \`kubectl describe crd ${name}\`.`);
      }),
    );
  },
};

const deployments: Check = {
  name: 'control plane',
  hint: INSTALL,
  async run({ client, namespace, signal }) {
    const { items } = await client.list<KubeObject>(
      kinds.Deployment,
      namespace,
      { labelSelector: 'app.kubernetes.io/part-of=weir' },
      signal,
    );
    const wanted = ['weir-controller', 'weir-mesh'];
    const found = new Map(items.map((item) => [item.metadata.name, item]));
    const names = [...new Set([...wanted, ...found.keys()])].sort();
    return names.map((name): Answer => {
      const deployment = found.get(name);
      if (!deployment) return failed(`${name} is not installed in ${namespace}`, INSTALL);
      if ((deployment.spec as { replicas?: number }).replicas === 0)
        return failed(
          `${name} is scaled to 0`,
          `kubectl -n ${namespace} scale deployment ${name} --replicas 1`,
        );
      return available(deployment)
        ? ok(`${name} is ready`)
        : failed(
            `${name} is not ready`,
            `Look at \`kubectl -n ${namespace} describe pods -l app.kubernetes.io/name=${name}\` and its logs.`,
          );
    });
  },
};

const rollouts: Check = {
  name: 'Rollouts',
  hint: INSTALL,
  async run({ client, signal }) {
    const { items } = await client.list<Rollout>(kinds.Rollout, undefined, {}, signal);
    const stalled = items.flatMap(({ metadata, status }): Answer[] => {
      const condition = status?.conditions.find(
        (entry) => entry.type === 'Stalled' && entry.status === 'True',
      );
      if (!condition) return [];
      const { namespace, name } = metadata;
      return [
        warning(
          `${namespace}/${name} is stalled: ${condition.message}`,
          `\`weir rollouts why ${name} -n ${namespace}\` says more.`,
        ),
      ];
    });
    return stalled.length > 0 ? stalled : ok(`${items.length} found, none is stalled`);
  },
};

const namespaces: Check = {
  name: 'sidecars',
  hint: 'Label the namespaces of callers and called with weir.dev/inject=enabled.',
  async run({ client, signal }) {
    const { items } = await client.list<KubeObject>(
      kinds.Namespace,
      undefined,
      { labelSelector: `${labels.inject}=enabled` },
      signal,
    );
    return items.length > 0
      ? ok(`${items.length} namespace(s) get the sidecar`)
      : warning('no namespace gets the sidecar', namespaces.hint);
  },
};

const policies: Check = {
  name: 'TrafficPolicies',
  hint: INSTALL,
  async run({ client, signal }) {
    const { items } = await client.list<TrafficPolicy & KubeObject>(
      kinds.TrafficPolicy,
      undefined,
      {},
      signal,
    );
    const lost = items.flatMap(({ metadata, status }): Answer[] => {
      const { namespace, name } = metadata;
      const hint = `\`kubectl -n ${namespace} describe trafficpolicy ${name}\` says what of it is in effect where.`;
      const found = status?.conditions.find(
        (each) =>
          (each.type === 'Accepted' && each.status === 'False') ||
          (each.type === 'Conflicted' && each.status === 'True'),
      );
      return found ? [warning(`${namespace}/${name}: ${found.message}`, hint)] : [];
    });
    return lost.length > 0 ? lost : ok(`${items.length} found, none is refused or in conflict`);
  },
};

export const installationChecks: CheckGroup = {
  name: 'Installation',
  checks: [crds, deployments, admission],
};
export const rolloutChecks: CheckGroup = { name: 'Rollouts', checks: [gate, rollouts] };
export const meshChecks: CheckGroup = { name: 'Mesh', checks: [namespaces, policies] };
