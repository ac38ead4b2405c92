import { randomUUID } from 'node:crypto';
import { hostname, userInfo } from 'node:os';
import { kinds } from '../../api/kinds.ts';
import { annotations } from '../../api/names.ts';
import type { Phase, Rollout } from '../../api/rollout.ts';
import type { KubeClient } from '../../kube/types.ts';
import { AppError } from '../../lib/errors.ts';

export type Verb = 'approve' | 'promote' | 'abort' | 'retry' | 'pause' | 'resume';

/** Who asks, as the API server knows them; where it cannot tell, the person at this machine. */
async function whoAmI(client: KubeClient): Promise<string> {
  try {
    const review = (await client.request('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {
      body: { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' },
    })) as { status?: { userInfo?: { username?: string } } };
    if (review.status?.userInfo?.username) return review.status.userInfo.username;
  } catch {
    // Older servers have no SelfSubjectReview.
  }
  return `${userInfo().username}@${hostname()}`;
}

const DONE: Record<Verb, string> = {
  approve: 'approved',
  promote: 'asked to promote',
  abort: 'asked to roll back',
  retry: 'asked to retry',
  pause: 'paused',
  resume: 'resumed',
};

/**
 * Asks the controller by an annotation that it consumes; `pause` stays until `resume` takes it away. The answer names the
 * Rollout. Refuses where the verb means nothing in the Rollout's phase.
 */
export async function act(
  client: KubeClient,
  namespace: string,
  name: string,
  verb: Verb,
  full = false,
): Promise<string> {
  const rollout = await findRollout(client, namespace, name);
  const phase = rollout.status?.phase ?? 'Initializing';
  const refusal = refuse(verb, phase, rollout.metadata.annotations?.[annotations.paused] !== undefined);
  if (refusal) throw new AppError('Conflict', `${namespace}/${name} is ${phase}: ${refusal}`);
  const request = JSON.stringify({
    id: randomUUID(),
    by: await whoAmI(client),
    at: new Date().toISOString(),
    ...(full ? { full } : {}),
  });
  const change: Record<string, string | null> =
    verb === 'resume'
      ? { [annotations.paused]: null, [annotations.resume]: request }
      : { [verb === 'pause' ? annotations.paused : annotations[verb]]: request };
  await client.patch(
    kinds.Rollout,
    namespace,
    name,
    { type: 'merge', body: { metadata: { annotations: change } } },
    { fieldManager: 'weir-cli' },
  );
  return `rollout.weir.dev/${name} ${DONE[verb]}${verb === 'pause' && !running(phase) ? '; the next run will wait' : ''}\n`;
}

const running = (phase: Phase): boolean => !['Healthy', 'Failed', 'Initializing'].includes(phase);

/** Why the verb means nothing in this phase, and what would; undefined where it means something. */
function refuse(verb: Verb, phase: Phase, paused: boolean): string | undefined {
  if (verb === 'pause') return undefined;
  if (verb === 'resume')
    return paused
      ? undefined
      : 'nobody has paused it; what waits for approval goes on by `weir rollouts approve`';
  if (verb === 'retry')
    return phase === 'Failed' ? undefined : 'only a revision that was rolled back is retried';
  if (phase === 'Failed' && verb !== 'abort')
    return `its revision was rolled back; \`weir rollouts retry\` starts it again`;
  return running(phase) ? undefined : `no run is in progress, so there is nothing to ${verb}`;
}

/** The Rollout, or an error that says where one of that name is. */
export async function findRollout(client: KubeClient, namespace: string, name: string): Promise<Rollout> {
  const found = await client.find<Rollout>(kinds.Rollout, namespace, name);
  if (found) return found;
  const { items } = await client.list<Rollout>(kinds.Rollout, undefined).catch(() => ({ items: [] }));
  const elsewhere = items
    .filter(({ metadata }) => metadata.name === name)
    .map(({ metadata }) => metadata.namespace);
  throw new AppError(
    'NotFound',
    `there is no Rollout ${name} in namespace ${namespace}: ${
      elsewhere.length > 0
        ? `there is one in ${elsewhere.join(', ')} (-n ${elsewhere[0]})`
        : '`weir rollouts list -A` shows those there are'
    }`,
  );
}
