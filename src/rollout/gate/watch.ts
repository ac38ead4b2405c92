import { createHash } from 'node:crypto';
import { kinds } from '../../api/kinds.ts';
import type { KubeObject, ResourceKind } from '../../api/meta.ts';
import { Informer, type KubeClient } from '../../kube/index.ts';
import { toAppError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import { SettlingVersion } from './settling.ts';

const GATE_KINDS: ResourceKind[] = [
  kinds.MutatingAdmissionPolicy,
  kinds.MutatingAdmissionPolicyBinding,
  kinds.ValidatingAdmissionPolicy,
  kinds.ValidatingAdmissionPolicyBinding,
  kinds.MutatingWebhookConfiguration,
  kinds.ValidatingWebhookConfiguration,
];
const SELECTOR = 'app.kubernetes.io/part-of=weir';

const project = ({ metadata: { name, uid, resourceVersion, generation } }: KubeObject): KubeObject => ({
  metadata: { name, uid, resourceVersion, generation },
});

/**
 * The admission objects that make the gate, watched: whether a Deployment is held need only be tried again when one of them
 * has changed, so Rollouts at rest cost no request, and a policy that a person removed is told within moments.
 */
export class GateWatch {
  readonly #client: KubeClient;
  readonly #log: Logger;
  readonly #listeners = new Set<() => void>();
  #informers: { kind: string; informer: Informer<KubeObject> }[] = [];
  readonly #version = new SettlingVersion(() => {
    for (const listener of this.#listeners) listener();
  });

  constructor(client: KubeClient, log: Logger) {
    this.#client = client;
    this.#log = log;
  }

  /** Equal versions mean the same gate. Undefined: not known yet, or nothing that this controller may watch. */
  get version(): string | undefined {
    return this.#version.current;
  }

  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** Resolves when the version is known, or it is known that it cannot be. */
  async start(signal: AbortSignal): Promise<void> {
    const watchable = await this.#watchable(signal);
    if (watchable.length === 0) return;
    this.#informers = watchable.map((kind) => ({
      kind: kind.kind,
      informer: new Informer<KubeObject>({
        client: this.#client,
        log: this.#log,
        kind,
        labelSelector: SELECTOR,
        project,
      }),
    }));
    for (const { informer } of this.#informers) {
      informer.onChange(() => this.#update());
      informer.start(signal);
    }
    signal.addEventListener('abort', () => this.#version.stop(), { once: true });
    await Promise.all(this.#informers.map(({ informer }) => informer.synced));
    this.#update();
  }

  /** What this API server serves and this ServiceAccount may list: an older server has no policies. */
  async #watchable(signal: AbortSignal): Promise<ResourceKind[]> {
    const tried = await Promise.all(
      GATE_KINDS.map(async (kind) => {
        try {
          await this.#client.list(kind, undefined, { labelSelector: SELECTOR, limit: 1 }, signal);
          return [kind];
        } catch (thrown) {
          const { code, message } = toAppError(thrown);
          if (code === 'NotFound') return [];
          if (!signal.aborted)
            this.#log.warn(
              { kind: kind.kind, code, reason: message },
              'the gate cannot be watched, so it is tried every minute',
            );
          return undefined;
        }
      }),
    );
    // Half of the gate is not the gate: what cannot be seen could change unseen.
    return tried.some((each) => each === undefined) ? [] : tried.flatMap((each) => each!);
  }

  #update(): void {
    if (!this.#informers.every(({ informer }) => informer.hasSynced)) return;
    const parts = this.#informers.flatMap(({ kind, informer }) =>
      informer.store
        .list()
        .map(({ metadata: { name, uid, generation } }) => `${kind}/${name} ${uid} ${generation}`),
    );
    const version = createHash('sha256').update(parts.sort().join('\n')).digest('hex').slice(0, 16);
    this.#version.seen(version);
  }
}
