import { kinds } from '../../api/kinds.ts';
import type { KubeObject, ResourceKind } from '../../api/meta.ts';
import { GATE_CONFIG_MAP } from '../../api/names.ts';
import { AppError, isCode, toAppError } from '../../lib/errors.ts';
import { trusted } from '../install/apply.ts';
import { gatePolicies } from '../install/policies.ts';
import { type Answer, type Check, type CheckContext, failed, INSTALL, ok, warning } from './model.ts';

/** Is everything there that the installation put there? Half a gate lets changes through. */
export const admission: Check = {
  name: 'admission',
  hint: INSTALL,
  async run({ client, namespace, signal }) {
    const find = (kind: ResourceKind, name: string) =>
      client.find<KubeObject>(kind, undefined, name, signal).catch((error: unknown) => {
        // Older API servers do not know the kind.
        if (isCode(error, 'NotFound')) return undefined;
        throw error;
      });
    const wanted = gatePolicies({ namespace });
    const [webhook, inject, ...policies] = await Promise.all([
      find(kinds.MutatingWebhookConfiguration, 'gate.weir.dev'),
      find(kinds.MutatingWebhookConfiguration, 'inject.weir.dev'),
      ...wanted.map(({ kind, metadata }) => find(kinds[kind as keyof typeof kinds], metadata.name)),
    ]);
    const missing = wanted.filter((_, index) => !policies[index]);
    return [
      gateAnswer(webhook, wanted.length, missing),
      inject ? serving('the injector', inject) : failed('the injector is not installed', INSTALL),
    ];
  },
};

function gateAnswer(webhook: KubeObject | undefined, wanted: number, missing: KubeObject[]): Answer {
  if (missing.length === 0) return ok('the gate is a policy inside the API server');
  if (webhook) return serving('the gate', webhook);
  if (missing.length === wanted)
    return failed(
      'there is neither a gate policy nor a gate webhook: every change goes live at once',
      INSTALL,
    );
  const names = missing.map(({ kind, metadata }) => `${kind} ${metadata.name}`).join(', ');
  return failed(`the gate is not whole, changes may go live at once: ${names} is gone`, INSTALL);
}

const serving = (what: string, configuration: KubeObject): Answer =>
  trusted(configuration)
    ? ok(`${what} is a webhook with a certificate`)
    : failed(
        `${what} is a webhook without caBundle: the API server cannot call it`,
        '`weir mesh` fills it in when it starts: look at its logs.',
      );

const TEST_ANNOTATION = 'weir.dev/check';
/** Dry runs at the same time, and Deployments that are named one by one. */
const AT_ONCE = 20;
const LISTED = 20;

/** Sends a change of each guarded Deployment's template as a dry run: it must come back paused. */
export const gate: Check = {
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
    const answers: Answer[] = [];
    for (let at = 0; at < guarded.length; at += AT_ONCE) {
      const some = guarded.slice(at, at + AT_ONCE);
      answers.push(...(await Promise.all(some.map((target) => holds(context, target)))));
    }
    const held = answers.filter(({ status }) => status === 'ok');
    // Thousands of lines that say the same hide the one that does not.
    if (held.length <= LISTED) return answers;
    return [
      ok(`holds ${held.length} of ${answers.length} guarded Deployments`),
      ...answers.filter(({ status }) => status !== 'ok'),
    ];
  },
};

async function holds(
  { client, signal }: CheckContext,
  { namespace, name }: { namespace: string; name: string },
): Promise<Answer> {
  const live = await client.find<KubeObject>(kinds.Deployment, namespace, name, signal);
  if (!live)
    return warning(`${namespace}/${name} is guarded but does not exist`, 'Create it, or delete its Rollout.');
  const answer = await client
    .patch<KubeObject>(
      kinds.Deployment,
      namespace,
      name,
      {
        type: 'merge',
        body: {
          spec: { template: { metadata: { annotations: { [TEST_ANNOTATION]: String(Date.now()) } } } },
        },
      },
      { dryRun: true, fieldManager: 'weir-check', signal },
    )
    .catch(toAppError);
  if (answer instanceof AppError) {
    return failed(
      `a change of ${namespace}/${name} is refused, not held: ${answer.message}`,
      'Half of the gate is gone or cannot be reached: see the check of admission above.',
    );
  }
  return (answer.spec as { paused?: boolean }).paused === true
    ? ok(`holds ${namespace}/${name}`)
    : failed(
        `does not hold ${namespace}/${name}: a change would go live at once`,
        'Is the gate installed, and is the namespace excluded from it? See docs/break-glass.md.',
      );
}
