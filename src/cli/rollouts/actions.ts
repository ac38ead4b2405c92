import { randomUUID } from 'node:crypto';
import { hostname, userInfo } from 'node:os';
import { kinds } from '../../api/kinds.ts';
import { annotations } from '../../api/names.ts';
import type { Rollout } from '../../api/rollout.ts';
import type { KubeClient } from '../../kube/types.ts';

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
 * Rollout and what to watch. Warns where the verb means nothing in the Rollout's phase.
 */
export async function act(
  client: KubeClient,
  namespace: string,
  name: string,
  verb: Verb,
  full = false,
): Promise<string> {
  const rollout = await client.get<Rollout>(kinds.Rollout, namespace, name);
  const request = JSON.stringify({
    id: randomUUID(),
    by: await whoAmI(client),
    at: new Date().toISOString(),
    ...(full ? { full } : {}),
  });
  const change: Record<string, string | null> =
    verb === 'resume'
      ? { [annotations.paused]: null }
      : { [verb === 'pause' ? annotations.paused : annotations[verb]]: request };
  await client.patch(
    kinds.Rollout,
    namespace,
    name,
    { type: 'merge', body: { metadata: { annotations: change } } },
    { fieldManager: 'weir-cli' },
  );
  const phase = rollout.status?.phase ?? 'Initializing';
  const idle = phase === 'Healthy' || phase === 'Initializing';
  const note =
    idle && verb !== 'retry' && verb !== 'resume'
      ? `; no run is in progress (${phase}), so nothing will change until one is`
      : verb === 'retry' && phase !== 'Failed'
        ? `; it is ${phase}, and only a Failed rollout is retried`
        : '';
  return `rollout.weir.dev/${name} ${DONE[verb]}${note}\n`;
}
