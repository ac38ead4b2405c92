import { kinds } from '../../api/kinds.ts';
import type { Condition, KubeObject } from '../../api/meta.ts';
import { GATE_CONFIG_MAP, labels } from '../../api/names.ts';
import type { Rollout } from '../../api/rollout.ts';
import { available, trusted } from '../install/apply.ts';
import { crdManifests } from '../install/manifests.ts';
import { type Answer, type Check, type CheckContext, type CheckGroup, failed, ok, warning } from './model.ts';

const INSTALL = 'Run `weir install | kubectl apply --server-side -f -`.';

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

const admission: Check = {
  name: 'admission',
  hint: INSTALL,
  async run({ client, signal }) {
    const webhook = (name: string) =>
      client.find<KubeObject>(kinds.MutatingWebhookConfiguration, undefined, name, signal);
    const policy = client
      .find<KubeObject>(kinds.MutatingAdmissionPolicyBinding, undefined, 'gate.weir.dev', signal)
      // Older API servers do not know the kind.
      .catch(() => undefined);
    const [gate, inject, binding] = await Promise.all([
      webhook('gate.weir.dev'),
      webhook('inject.weir.dev'),
      policy,
    ]);
    const answers: Answer[] = [];
    if (binding) answers.push(ok('the gate is a policy inside the API server'));
    else if (gate) answers.push(serving('the gate', gate));
    else
      answers.push(
        failed('there is neither a gate policy nor a gate webhook: every change goes live at once', INSTALL),
      );
    answers.push(inject ? serving('the injector', inject) : failed('the injector is not installed', INSTALL));
    return answers;
  },
};

const serving = (what: string, configuration: KubeObject): Answer =>
  trusted(configuration)
    ? ok(`${what} is a webhook with a certificate`)
    : failed(
        `${what} is a webhook without caBundle: the API server cannot call it`,
        '`weir mesh` fills it in when it starts: look at its logs.',
      );

const TEST_ANNOTATION = 'weir.dev/check';

/** Sends a change of each guarded Deployment's template as a dry run: it must come back paused. */
const gate: Check = {
  name: 'gate',
  hint: 'See docs/break-glass.md.',
  async run(context) {
    const { client, signal } = context;
    const { items } = await client.list<KubeObject>(
      kinds.ConfigMap,
      undefined,
      { fieldSelector: `metadata.name=${GATE_CONFIG_MAP}` },
      signal,
    );
    const guarded = items
      .filter(({ metadata }) => metadata.name === GATE_CONFIG_MAP)
      .flatMap(({ metadata, data }) =>
        Object.keys((data ?? {}) as object)
          .filter((key) => key.startsWith('deployment.'))
          .map((key) => ({
            namespace: metadata.namespace ?? 'default',
            name: key.slice('deployment.'.length),
          })),
      );
    if (guarded.length === 0) return ok('no Deployment is guarded yet');
    return Promise.all(guarded.map((target) => holds(context, target)));
  },
};

async function holds(
  { client, signal }: CheckContext,
  { namespace, name }: { namespace: string; name: string },
): Promise<Answer> {
  const live = await client.find<KubeObject>(kinds.Deployment, namespace, name, signal);
  if (!live)
    return warning(`${namespace}/${name} is guarded but does not exist`, 'Create it, or delete its Rollout.');
  const answer = await client.patch<KubeObject>(
    kinds.Deployment,
    namespace,
    name,
    {
      type: 'merge',
      body: { spec: { template: { metadata: { annotations: { [TEST_ANNOTATION]: String(Date.now()) } } } } },
    },
    { dryRun: true, fieldManager: 'weir-check', signal },
  );
  return (answer.spec as { paused?: boolean }).paused === true
    ? ok(`holds ${namespace}/${name}`)
    : failed(
        `does not hold ${namespace}/${name}: a change would go live at once`,
        'Is the gate installed, and is the namespace excluded from it? See docs/break-glass.md.',
      );
}

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
  name: 'mesh',
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

export const installationChecks: CheckGroup = {
  name: 'Installation',
  checks: [crds, deployments, admission],
};
export const rolloutChecks: CheckGroup = { name: 'Rollouts', checks: [gate, rollouts, namespaces] };
