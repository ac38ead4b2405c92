import type { Judge, RevisionRef } from '../analysis/ports.ts';
import { keyOf } from '../api/meta.ts';
import { annotations, FIELD_MANAGER, FINALIZER, GATE_CONFIG_MAP, PINS_CONFIG_MAP } from '../api/names.ts';
import type { RolloutSpec } from '../api/rollout.ts';
import { Controller, type MetricsRegistry, type ReconcileResult } from '../controller/index.ts';
import { EventRecorder, type KubeClient, type Rank, writeThrough } from '../kube/index.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import { toAppError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import type { CachedRollout } from './cached.ts';
import { Caches } from './caches.ts';
import { GateWriter } from './effects/gate-data.ts';
import { ahead, carryOutAll, type EffectContext } from './effects/index.ts';
import { finalize, letGo, letGoPreview, withoutFinalizer } from './finalize.ts';
import { probeGate } from './gate/probe.ts';
import { GateProbes } from './gate/probes.ts';
import { GateWatch } from './gate/watch.ts';
import { Looks } from './looks.ts';
import { acts } from './machine/context.ts';
import type { Observation } from './machine/types.ts';
import { initialState, machine, type State } from './machine.ts';
import { RolloutMetrics } from './metrics.ts';
import { formerSpec, moved, namesOf } from './names.ts';
import { observe } from './observe.ts';
import {
  type ParsedSpec,
  type Problem,
  parseSpec,
  rivalOf,
  serviceProblem,
  specOf,
  underWay,
} from './parse.ts';
import type { RouteRef, TrafficRouter } from './ports.ts';
import { RolloutRecord } from './record.ts';
import { brokenStatus, renderStatus } from './status.ts';

export interface RolloutControllerOptions {
  client: KubeClient;
  judge: Judge;
  routers: Record<RolloutSpec['traffic']['router'], TrafficRouter>;
  log: Logger;
  /** Only these; none: all of them. */
  namespaces?: string[];
  concurrency?: number;
  clock?: Clock;
  metrics?: MetricsRegistry;
}

/** Effects that turned out to change nothing cause no event: look again after this long anyway. */
const AGAIN = 500;
/** How long the last Events may take once nothing else is done. */
const EVENTS_MS = 1000;

/** Wires caches, machine and effects together. One instance leads; its state lives in each Rollout's status. */
export class RolloutController {
  readonly caches: Caches;
  readonly #options: RolloutControllerOptions;
  /** What it writes shows in the caches at once. */
  readonly #client: KubeClient;
  readonly #clock: Clock;
  readonly #gate: GateWatch;
  readonly #gateWriter: GateWriter;
  readonly #pinWriter: GateWriter;
  readonly #events: EventRecorder;
  readonly #controller: Controller;
  readonly #looks: Looks;
  readonly #probes: GateProbes;
  readonly #record: RolloutRecord;
  readonly #errors = new Map<string, string>();
  readonly #specs = new Map<string, { of: string; parsed: ParsedSpec }>();
  readonly #metrics: RolloutMetrics | undefined;
  #signal: AbortSignal = AbortSignal.abort();

  constructor(options: RolloutControllerOptions) {
    const { client, log, clock = systemClock } = options;
    this.#options = options;
    this.#clock = clock;
    this.caches = new Caches(client, log, options.namespaces);
    this.#client = writeThrough(client, this.caches.all);
    this.#record = new RolloutRecord(this.#client, (rollout) => this.caches.rollouts.learn(rollout));
    this.#gate = new GateWatch(client, log);
    this.#gateWriter = new GateWriter(this.#client, GATE_CONFIG_MAP);
    this.#pinWriter = new GateWriter(this.#client, PINS_CONFIG_MAP);
    this.#events = new EventRecorder({ client, component: FIELD_MANAGER, log, clock });
    const enqueue = (key: string) => this.#controller.enqueue(key);
    this.#metrics = options.metrics && new RolloutMetrics(options.metrics, this.caches.rollouts.store);
    this.#probes = new GateProbes({
      probe: ({ namespace, deployment }, tries, stop) =>
        probeGate(client, namespace, deployment, tries, () => clock.now(), stop),
      done: enqueue,
    });
    const begun = (lateMs: number) => this.#metrics?.looked(lateMs);
    this.#looks = new Looks({ judge: options.judge, log, clock, done: enqueue, begun });
    this.#controller = new Controller({
      name: 'rollout',
      workers: options.concurrency ?? 32,
      rank: (key) => this.#rank(key),
      reconcile: (key, signal) => this.#reconcile(key, signal),
      log,
      clock,
      onReconciled: (outcome) => this.#metrics?.reconciled(outcome),
    });
  }

  /** When there was something to do last, by `performance.now`. */
  get lastActivity(): number {
    return this.#controller.lastActivity;
  }

  /** Fills the caches; on every replica, so that a new leader starts warm. */
  async start(signal: AbortSignal): Promise<void> {
    const tell = (key: string) => this.#controller.enqueue(key);
    this.caches.onChange(tell);
    for (const router of Object.values(this.#options.routers)) {
      router.onChange((key) => (key === '' ? this.#everyone() : tell(key)));
    }
    this.#gate.onChange(() => this.#everyone());
    await Promise.all([this.caches.start(signal), this.#gate.start(signal)]);
  }

  /** Reconciles until aborted: only while leading. */
  async run(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    this.#probes.clear();
    this.#record.clear();
    this.#everyone();
    await this.#controller.run(signal);
    // Behind a server that does not answer there may be hundreds of them; who lost the lease has to start over.
    await this.#events.drained(EVENTS_MS);
  }

  #everyone(): void {
    for (const rollout of this.caches.rollouts.store.list()) this.#controller.enqueue(keyOf(rollout));
  }

  /**
   * On its way back, just found bad, or to be aborted: its users wait for it. One that has begun goes before those that have not: of a
   * hundred changes at once the first have their weight early, and the last no later. What has its first weight waits for both.
   */
  #rank(key: string): Rank {
    if (this.#looks.last(key)?.verdict.decision === 'fail') return 'urgent';
    const { status, metadata } = this.caches.rollouts.store.get(key) ?? {};
    if (status?.phase === 'RollingBack' || metadata?.annotations?.[annotations.abort] !== undefined)
      return 'urgent';
    if (status?.phase === 'Preparing') return 'soon';
    // Of a thousand new ones each is seen through once it is begun, and written once, with what came of trying its gate.
    if (!metadata?.finalizers?.includes(FINALIZER)) return 'later';
    return underWay(status?.phase) ? 'later' : 'next';
  }

  /** Once per generation. */
  #parse(key: string, rollout: CachedRollout): ParsedSpec {
    const of = `${rollout.metadata.uid} ${rollout.metadata.generation}`;
    const known = this.#specs.get(key);
    if (known?.of === of) return known.parsed;
    const sameObject = known?.of.startsWith(`${rollout.metadata.uid} `);
    const parsed = specOf(parseSpec(rollout), sameObject ? known?.parsed.spec : undefined);
    this.#specs.set(key, { of, parsed });
    return parsed;
  }

  #forget(key: string): void {
    this.#specs.delete(key);
    this.#looks.forget(key);
    this.#probes.forget(key);
    this.#record.forget(key);
    this.#errors.delete(key);
  }

  async #reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | undefined> {
    const rollout = this.caches.rollouts.store.get(key);
    if (!rollout) {
      this.#forget(key);
      return undefined;
    }
    const { spec, problem: misread } = this.#parse(key, rollout);
    const going = rollout.metadata.deletionTimestamp !== undefined;
    if (!spec) {
      // What was never understood was never acted upon, and the schema keeps a bad change of a good one out.
      if (going) await withoutFinalizer(this.#client, rollout.metadata.namespace!, rollout, signal);
      else await this.#broken(rollout, misread!, signal);
      return undefined;
    }
    const state = this.#record.state(key, rollout);
    const former = state?.names && formerSpec(spec, state.names);
    if (going) {
      if (!rollout.metadata.finalizers?.includes(FINALIZER)) return undefined;
      const { context, observation } = this.#look(key, rollout, former ?? spec);
      const done = await finalize(context, state, observation, this.#clock.now(), signal);
      if (done) this.#forget(key);
      return done ? undefined : { requeueAfterMs: AGAIN };
    }
    if (former && !(await this.#formerGone(key, rollout, { spec, former }, state, signal)))
      return { requeueAfterMs: AGAIN };
    const { context, observation } = this.#look(key, rollout, spec);
    const problem =
      misread ??
      serviceProblem(spec, this.caches.sources(rollout).service(spec.service.name), observation) ??
      rivalOf(rollout, spec, this.caches.rivals(rollout));
    if (problem && !underWay(state?.phase.name)) {
      await this.#broken(rollout, problem, signal);
      return undefined;
    }
    const owned = await this.#record.withFinalizer(rollout, signal);
    return this.#turn(
      key,
      owned,
      state ?? initialState(),
      { ...observation, ...(problem ? { problem } : {}) },
      context,
      signal,
    );
  }

  async #turn(
    key: string,
    rollout: CachedRollout,
    state: State,
    observation: Observation,
    context: EffectContext,
    signal: AbortSignal,
  ): Promise<ReconcileResult | undefined> {
    const now = this.#clock.now();
    const result = machine(state, observation, now);
    const error = this.#errors.get(key);
    if (error) result.message = `${result.message}; last try failed: ${error}`;
    const status = renderStatus(result, observation, rollout.status, now);
    const before = state.phase.name;
    const { name } = result.state.phase;
    if (before !== name) {
      context.log.info({ from: before, to: name, reason: result.message }, 'phase changed');
    }
    const { first, rest } = ahead(result.effects, before);
    const begun = carryOutAll(first, context, signal);
    // Whatever becomes of the rest, nothing of this turn goes on when the next one begins.
    const ended = begun.catch(() => {});
    let flush: number | undefined;
    try {
      const kept = { at: this.#clock.now(), must: error !== undefined };
      flush = await this.#record.keep(key, rollout, { status, state: result.state }, kept, signal);
    } catch (thrown) {
      await ended;
      throw thrown;
    }
    try {
      await carryOutAll(rest, context, signal).finally(() => ended);
      await begun;
      this.#errors.delete(key);
    } catch (thrown) {
      const cause = toAppError(thrown);
      if (cause.code !== 'Conflict' && cause.code !== 'Aborted') {
        this.#errors.set(key, cause.message);
        this.#events.event(rollout, 'Warning', 'EffectFailed', cause.message);
      }
      throw cause;
    }
    if (before !== name) return { requeueAfterMs: 0 };
    const waits = [
      ...(flush === undefined ? [] : [flush]),
      ...(result.effects.some(acts) ? [AGAIN] : []),
      ...(result.wakeAt === undefined ? [] : [Math.max(1, result.wakeAt - this.#clock.now())]),
    ];
    return waits.length === 0 ? undefined : { requeueAfterMs: Math.min(...waits) };
  }

  /** What the Rollout named before is let go: nothing else remembers its pins and its place at the gate. */
  async #formerGone(
    key: string,
    rollout: CachedRollout,
    { spec, former }: { spec: RolloutSpec; former: RolloutSpec },
    state: State,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { context, observation } = this.#look(key, rollout, former);
    const before = namesOf(former);
    if (!moved(before, namesOf(spec))) {
      if (before.preview !== undefined) await letGoPreview(context, before.preview, signal);
      return true;
    }
    if (!(await letGo(context, state, observation, false, signal))) return false;
    // They were about another Deployment.
    this.#looks.forget(key);
    this.#probes.forget(key);
    return true;
  }

  /** The world as a spec names it, and what acts on it. */
  #look(key: string, rollout: CachedRollout, spec: RolloutSpec) {
    const named = { ...rollout, spec };
    const context = this.#context(key, named, spec);
    const observation = observe(named, spec, this.caches.sources(named), {
      route: context.router.observe(context.route),
      probe: this.#probes.last(key),
      gateVersion: this.#gate.version,
      look: this.#looks.last(key),
    });
    return { context, observation };
  }

  #context(key: string, rollout: CachedRollout, spec: RolloutSpec): EffectContext {
    const namespace = rollout.metadata.namespace!;
    const route: RouteRef = {
      namespace,
      rollout: rollout.metadata.name,
      rolloutUid: rollout.metadata.uid!,
      service: spec.service.name,
      port: spec.service.port,
      stableService: `${spec.service.name}-stable`,
      canaryService: `${spec.service.name}-canary`,
    };
    const { log, routers } = this.#options;
    return {
      client: this.#client,
      rollout,
      spec,
      namespace,
      router: routers[spec.traffic.router],
      route,
      gate: this.#gateWriter,
      pins: this.#pinWriter,
      deployment: () => this.caches.sources(rollout).deployment(spec.targetRef.name),
      service: async (name) => this.caches.sources(rollout).service(name),
      event: (object, type, reason, message) => this.#events.event(object, type, reason, message),
      look: (effect) => {
        const preview = spec.strategy.blueGreen?.preview?.service;
        const revisions: RevisionRef = {
          namespace,
          service: spec.service.name,
          port: spec.service.port,
          deployment: spec.targetRef.name,
          canary: effect.canary,
          stable: effect.stable,
          ...(preview ? { alsoServices: [preview] } : {}),
        };
        this.#looks.start(key, effect, spec.analysis, revisions);
      },
      gated: () => this.#probes.named(key),
      probeGate: () => {
        const target = { namespace, deployment: spec.targetRef.name, version: this.#gate.version };
        this.#probes.start(key, target, this.#signal);
      },
      log: log.child({ rollout: key }),
    };
  }

  async #broken(rollout: CachedRollout, problem: Problem, signal: AbortSignal): Promise<void> {
    const { generation = 0 } = rollout.metadata;
    const now = this.#clock.now();
    const status = brokenStatus(rollout.status, generation, problem.reason, problem.message, now);
    if (await this.#record.write(rollout, status, signal)) {
      this.#events.event(rollout, 'Warning', problem.reason, problem.message);
    }
  }
}
