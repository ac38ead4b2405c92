import { kinds } from '../api/kinds.ts';
import type { KubeObject } from '../api/meta.ts';
import { Controller } from '../controller/controller.ts';
import { type KubeClient, LeaderElection } from '../kube/index.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import { toAppError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import { sameJson } from '../lib/same-json.ts';
import type { ClusterIndex } from './discovery/cluster-index.ts';
import { tcpPorts } from './discovery/objects.ts';
import { type PolicySurroundings, policyStatus } from './policy/status.ts';

export interface PolicyStatusesOptions {
  client: KubeClient;
  index: ClusterIndex;
  /** Of the lease by which replicas agree who writes. */
  namespace: string;
  /** Unique among replicas. */
  replica: string;
  log: Logger;
  clock?: Clock;
}

/**
 * Writes the status of TrafficPolicies, from the one replica that leads, and only what has changed. Nobody campaigns while
 * there is no policy.
 */
export class PolicyStatuses {
  readonly #options: PolicyStatusesOptions;
  readonly #clock: Clock;
  readonly #surroundings: PolicySurroundings;
  readonly #stop = new AbortController();
  #started = false;
  #campaign: Promise<void> | undefined;
  /** While this replica leads. */
  #controller: Controller | undefined;

  constructor(options: PolicyStatusesOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const { index } = options;
    this.#surroundings = {
      portsOf: (service) => {
        const found = index.service(service);
        return found && tcpPorts(found);
      },
      policiesOf: (service) => index.policiesOf(service),
    };
  }

  /** The caches are full: what looks as if it were missing is. */
  start(): void {
    this.#started = true;
    const { done } = this.#options.index.policyKeys().next();
    if (!done) this.#begin();
  }

  /** Ends the writing, and lets another replica lead. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#campaign;
  }

  /** A policy was written, or is gone. `affected`: Services and other subjects of discovery for which that means something. */
  policyChanged(key: string, affected: Iterable<string>): void {
    this.#begin();
    this.#controller?.enqueue(key);
    for (const subject of affected) this.serviceChanged(subject);
  }

  serviceChanged(key: string): void {
    if (!this.#controller) return;
    for (const policy of this.#options.index.policiesOf(key)) this.#controller.enqueue(policy.key);
  }

  #begin(): void {
    if (this.#started && !this.#stop.signal.aborted) this.#campaign ??= this.#lead();
  }

  async #lead(): Promise<void> {
    const { client, namespace, replica, log } = this.#options;
    const { signal } = this.#stop;
    const election = new LeaderElection({
      client,
      namespace,
      name: 'weir-mesh-status',
      identity: replica,
      log,
      clock: this.#clock,
    });
    while (!signal.aborted) {
      try {
        await election.run(signal, (leading) => this.#write(leading));
      } catch (error) {
        log.warn({ error: toAppError(error) }, 'writing the status of TrafficPolicies ended; starting over');
      }
    }
  }

  async #write(signal: AbortSignal): Promise<void> {
    const { index, log } = this.#options;
    const controller = new Controller({
      name: 'policy-status',
      workers: 1,
      reconcile: (key) => this.#reconcile(key, signal),
      log,
      clock: this.#clock,
    });
    this.#controller = controller;
    for (const key of index.policyKeys()) controller.enqueue(key);
    try {
      await controller.run(signal);
    } finally {
      this.#controller = undefined;
    }
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<void> {
    const { client, index, log } = this.#options;
    const stored = index.policy(key);
    if (!stored) return;
    const { object, read } = stored;
    const status = policyStatus(object, read, this.#surroundings, this.#clock.now());
    if (sameJson(object.status, status)) return;
    await client.replace<KubeObject>(
      kinds.TrafficPolicy,
      { ...object, status },
      { subresource: 'status', fieldManager: 'weir-mesh', signal },
    );
    const [accepted] = status.conditions;
    log.info(
      { policy: key, accepted: accepted?.status, reason: accepted?.reason },
      'told the status of a TrafficPolicy',
    );
  }
}
