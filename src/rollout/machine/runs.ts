import { createHash } from 'node:crypto';
import { windowState } from '../windows.ts';
import type { Turn } from './context.ts';
import type { DeploymentView, RollbackCause, Run } from './types.ts';

const HOUR = 3_600_000;

export const shortImages = (images: string[]): string =>
  images.map((image) => image.slice(image.lastIndexOf('/') + 1)).join(', ');

/** Why Weir cannot roll this Deployment out, or undefined. */
export function refusal(
  turn: Turn,
  deployment: DeploymentView,
): { reason: string; message: string } | undefined {
  if (deployment.revisionHistoryLimit === 0) {
    return {
      reason: 'NoRevisionHistory',
      message: `Deployment ${deployment.name} has revisionHistoryLimit: 0, which would delete the stable ReplicaSet while it is still needed: set it to 1 or more`,
    };
  }
  if (deployment.strategy === 'Recreate' && !turn.observation.spec.allowRecreate) {
    return {
      reason: 'Recreate',
      message: `Deployment ${deployment.name} has strategy Recreate, which says that two versions must not run at once: use RollingUpdate, or set spec.allowRecreate: true`,
    };
  }
  if (deployment.selectsEverything) {
    return {
      reason: 'SelectorTooWide',
      message: `the selector of Deployment ${deployment.name} also matches Weir's own labels, so it would adopt the canary unjudged: select by a label with matchLabels`,
    };
  }
  return undefined;
}

/**
 * A fresh run of what the gate holds. Its name follows from what has been written: a process that dies before this decision was,
 * comes to the same one, and no two runs begin after the same history. The hash begins with a vowel, which no native
 * pod-template-hash contains.
 */
export function newRun(turn: Turn, deployment: DeploymentView): Run {
  const id = createHash('sha256')
    .update(`${deployment.uid} ${deployment.digest} ${JSON.stringify(turn.state.history.at(-1))}`)
    .digest('hex')
    .slice(0, 9);
  const hash = `e${id}`;
  return {
    id,
    digest: deployment.digest,
    hash,
    replicaSet: `${deployment.name.slice(0, 240)}-${hash}`,
    images: deployment.images,
    startedAt: turn.now,
    retry: turn.observation.spec.retry,
    peak: 0,
  };
}

/** Enters Waiting with the held revision; Waiting goes on at once when nothing is in its way. */
export function startRun(turn: Turn, deployment: DeploymentView, why: string, by?: string) {
  const run = newRun(turn, deployment);
  delete turn.state.analysis;
  delete turn.state.gateOpen;
  // This pause is the gate's: whoever goes back to stable now and then fights with nobody.
  delete turn.state.repause;
  turn.goto(
    { name: 'Waiting', run, reason: '' },
    'NewRevision',
    `${shortImages(run.images)} is held at the gate: ${why}`,
    by ? { by } : {},
  );
}

export function rollBack(
  turn: Turn,
  run: Run,
  cause: RollbackCause,
  reason: string,
  message: string,
  by?: string,
) {
  turn.goto({ name: 'RollingBack', run, cause, reason, message, since: turn.now }, reason, message, {
    warn: cause === 'failed',
    ...(by ? { by } : {}),
  });
}

/** A problem, a window, a freeze or a person keeps the next step from starting; undefined: nothing does. */
export function heldBy(turn: Turn): string | undefined {
  const { commands, problem, spec } = turn.observation;
  if (problem) return problem.message;
  if (commands.paused) return `paused by ${commands.paused.by}: \`weir rollouts resume\` goes on`;
  const window = windowState(spec.windows, turn.now);
  if (window.next !== undefined) turn.wake(window.next);
  return window.open ? undefined : window.message;
}

/**
 * Lets the Deployment go when there is nothing to judge. Somebody who pauses it again and again (paused: true in Git)
 * wins after the third time, until a growing while has passed or the Rollout was changed. The Deployment's generation
 * tells a new pause from a stale view of the old one.
 */
export function unpause(turn: Turn, deployment: DeploymentView) {
  const { state, now, observation } = turn;
  const past = state.repause;
  const until = past === undefined ? 0 : past.last + HOUR * 2 ** Math.min(past.count, 5);
  const fresh = past === undefined || past.generation !== observation.generation || now >= until;
  if (fresh || past.target !== deployment.generation) {
    if (!fresh && past.count >= 3) {
      turn.wake(until);
      turn.stall(
        'PausedByOther',
        `${deployment.pausedBy ?? 'another manager'} has set paused: true on Deployment ${deployment.name} again after each of ${past.count} unpauses: remove paused from the manifest, then set spec.retry to a new value (tried again at ${new Date(until).toISOString()})`,
      );
      return;
    }
    state.repause = {
      count: fresh ? 1 : past.count + 1,
      last: now,
      generation: observation.generation,
      target: deployment.generation,
    };
  }
  turn.effects.push({
    kind: 'set-paused',
    paused: false,
    resourceVersion: deployment.resourceVersion,
    digest: deployment.digest,
  });
  turn.message = 'unpausing the Deployment: its template is the stable one';
}
