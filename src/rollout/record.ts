import { kinds } from '../api/kinds.ts';
import { FIELD_MANAGER, FINALIZER } from '../api/names.ts';
import type { RolloutStatus } from '../api/rollout.ts';
import type { KubeClient } from '../kube/index.ts';
import { isCode } from '../lib/errors.ts';
import type { CachedRollout } from './cached.ts';
import { Drafts, pressing, tells } from './drafts.ts';
import type { State } from './machine/types.ts';
import { sameStatus, stateOf } from './status.ts';

/** A look that found the same again may wait: so many of their writes at a time, for they hold workers that others wait for. */
const LAZY_AT_ONCE = 4;
const LAZY_AGAIN_MS = 1000;

/** What was decided about a Rollout: as it is to be seen, and as the machine goes on from it. */
export interface Decided {
  status: RolloutStatus;
  state: State;
}

/** What controllers write of the Rollouts themselves: status and finalizer. */
export class RolloutRecord {
  readonly #client: KubeClient;
  readonly #learn: (rollout: CachedRollout) => void;
  readonly #drafts = new Drafts();
  #lazy = 0;

  /** `learn` is told what a Rollout is when it turns out to be another one than was thought. */
  constructor(client: KubeClient, learn: (rollout: CachedRollout) => void) {
    this.#client = client;
    this.#learn = learn;
  }

  /** As of the last turn, written or not; undefined: Weir has not decided anything about it yet. */
  state(key: string, { metadata, status }: CachedRollout): State | undefined {
    return this.#drafts.state(key, metadata.uid ?? '', status) ?? stateOf(status);
  }

  /**
   * The state is safe before anything is done about it: a crash from here on repeats effects, and forgets none. Answers
   * after how many milliseconds what may wait is to be written; `at` is now, and `must` that nothing may wait.
   */
  async keep(
    key: string,
    rollout: CachedRollout,
    { status, state }: Decided,
    { at, must }: { at: number; must: boolean },
    signal: AbortSignal,
  ): Promise<number | undefined> {
    if (sameStatus(rollout.status, status)) {
      this.#drafts.drop(key);
      return undefined;
    }
    let lazy = false;
    if (!must && !pressing(rollout.status, status)) {
      const { uid = '' } = rollout.metadata;
      const news = tells(rollout.status, status);
      const wait = this.#drafts.keep(key, uid, { written: rollout.status, state, tells: news }, at);
      if (wait > 0) return wait;
      lazy = !news;
      if (lazy && this.#lazy >= LAZY_AT_ONCE) return LAZY_AGAIN_MS;
    }
    if (lazy) this.#lazy += 1;
    try {
      await this.write(rollout, status, signal);
    } finally {
      if (lazy) this.#lazy -= 1;
    }
    // Not before: a write that fails must not lose what was decided since the last one.
    this.#drafts.drop(key);
    return undefined;
  }

  /** True if it was another one before. */
  async write(rollout: CachedRollout, status: RolloutStatus, signal: AbortSignal): Promise<boolean> {
    if (sameStatus(rollout.status, status)) return false;
    await this.#believing(rollout, signal, () =>
      this.#client.replace<CachedRollout>(
        kinds.Rollout,
        { ...rollout, status },
        {
          subresource: 'status',
          fieldManager: FIELD_MANAGER,
          signal,
          ...(status.phase === 'RollingBack' ? { rank: 'urgent' } : {}),
        },
      ),
    );
    return true;
  }

  /** The Rollout with Weir's finalizer. */
  async withFinalizer(rollout: CachedRollout, signal: AbortSignal): Promise<CachedRollout> {
    const finalizers = rollout.metadata.finalizers ?? [];
    if (finalizers.includes(FINALIZER)) return rollout;
    return this.#believing(rollout, signal, () =>
      this.#client.patch<CachedRollout>(
        kinds.Rollout,
        rollout.metadata.namespace,
        rollout.metadata.name,
        {
          type: 'merge',
          body: {
            metadata: {
              resourceVersion: rollout.metadata.resourceVersion,
              finalizers: [...finalizers, FINALIZER],
            },
          },
        },
        { fieldManager: FIELD_MANAGER, signal },
      ),
    );
  }

  forget(key: string): void {
    this.#drafts.drop(key);
  }

  clear(): void {
    this.#drafts.clear();
  }

  /** After a conflict what is there now is believed, without waiting for the watch to bring it. */
  async #believing(
    rollout: CachedRollout,
    signal: AbortSignal,
    write: () => Promise<CachedRollout>,
  ): Promise<CachedRollout> {
    try {
      return await write();
    } catch (error) {
      const { namespace, name } = rollout.metadata;
      const live = isCode(error, 'Conflict')
        ? await this.#client.find<CachedRollout>(kinds.Rollout, namespace, name, signal)
        : undefined;
      if (live) this.#learn(live);
      throw error;
    }
  }
}
