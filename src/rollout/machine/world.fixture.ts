import type { Verdict } from '../../analysis/ports.ts';
import type { RolloutSpec } from '../../api/rollout.ts';
import { ahead, groups } from '../effects/groups.ts';
import { type Effect, initialState, machine, type Result, type State } from '../machine.ts';
import type { DeploymentView, Look, Observation, ReplicaSetView, ServiceView } from './types.ts';
import { deploymentView, digest, parse, replicaSetView, service } from './views.fixture.ts';

const START = Date.parse('2026-01-05T12:00:00Z');

/**
 * A small cluster for tests of the machine: gate, Deployment controller, ReplicaSet controller, Services, proxies. It
 * moves only by `settle`, so that a test can stop, crash and start at any point.
 */
export class World {
  now = START;
  spec: RolloutSpec;
  state: State = initialState();
  deployment: DeploymentView | undefined;
  sets: ReplicaSetView[] = [];
  services: Record<string, ServiceView> = {};
  gate: { entry: string | undefined; pins: Record<string, string> } = { entry: undefined, pins: {} };
  weights: { stable: number; canary: number } | undefined;
  version = 1;
  acknowledged = 1;
  acknowledging = true;
  look: Look | undefined;
  verdict: 'pass' | 'fail' | 'hold' = 'pass';
  commands: Observation['commands'] = {};
  problem: Observation['problem'];
  /** Pods of these versions never become ready. */
  broken = new Set<string>();
  /** Of these no more than so many are. */
  limping = new Map<string, number>();
  /** Everything that was carried out, and every weight ever set. */
  effects: Effect[] = [];
  weightsSeen: number[] = [];
  problems: string[] = [];
  started = 0;
  /** What may be carried out at the same time is, in the other order. */
  backwards = false;
  generation = 1;
  #counter = 1;
  last: Result | undefined;

  constructor(spec: object, replicas = 4) {
    this.spec = parse(spec);
    this.create('v1', replicas);
    this.services.web = service('web', false);
  }

  configure(spec: object): void {
    this.spec = parse(spec);
    this.generation += 1;
  }

  create(version: string, replicas = 4): void {
    this.deployment = deploymentView(version, replicas, `uid-${this.#counter++}`, this.#next());
    this.sets = [];
    this.settle();
  }

  /** What GitOps does; the gate pauses it in the same request when it guards the Deployment. */
  apply(version: string): void {
    const deployment = this.deployment!;
    if (deployment.digest === digest(version)) return;
    deployment.digest = digest(version);
    deployment.images = [`app:${version}`];
    if (this.gate.entry) deployment.paused = true;
    this.#touch(deployment);
  }

  scale(replicas: number): void {
    this.deployment!.replicas = replicas;
    this.#touch(this.deployment!);
  }

  #next(): string {
    return String(this.#counter++);
  }

  #touch(object: { resourceVersion: string; generation?: number }): void {
    object.resourceVersion = this.#next();
    if (object.generation !== undefined) object.generation += 1;
  }

  /** The controllers of Kubernetes, run until nothing moves. */
  settle(): void {
    for (let round = 0; round < 20; round += 1) {
      const before = JSON.stringify([this.sets, this.deployment?.status]);
      this.#deploymentController();
      this.#replicaSetController();
      if (JSON.stringify([this.sets, this.deployment?.status]) === before) break;
    }
    this.#check();
  }

  #deploymentController(): void {
    const deployment = this.deployment;
    if (!deployment) {
      // Garbage collection: dependents go with their owner.
      this.sets = [];
      return;
    }
    deployment.observedGeneration = deployment.generation;
    for (const set of this.sets) if (set.released) set.owned = true;
    const owned = this.sets.filter((set) => set.owned);
    // The oldest equal one is the new ReplicaSet.
    let current = owned.find((set) => set.digest === deployment.digest);
    if (!current && !deployment.paused) {
      current = this.#set(`web-native${this.#counter}`, deployment.digest, deployment.images, true);
      this.sets.push(current);
    }
    if (current && (deployment.paused === false || current.replicas > 0)) {
      current.revision = Math.max(current.revision, ...owned.map(({ revision }) => revision)) || 1;
      if (!deployment.paused) current.replicas = deployment.replicas;
      const saturated = current.available === deployment.replicas && current.replicas === deployment.replicas;
      if (saturated) for (const set of owned) if (set !== current) set.replicas = 0;
    } else {
      const active = owned.filter((set) => set.replicas > 0);
      // The only one that has pods, or where none has any that of the template, or the one made last.
      const only = active[0] ?? current ?? owned.at(-1);
      if (only && active.length < 2) only.replicas = deployment.replicas;
    }
    const all = this.sets.filter((set) => set.owned);
    deployment.status = {
      replicas: all.reduce((sum, set) => sum + set.current, 0),
      updated: current?.current ?? 0,
      ready: all.reduce((sum, set) => sum + set.ready, 0),
      available: all.reduce((sum, set) => sum + set.available, 0),
    };
  }

  #replicaSetController(): void {
    this.sets = this.sets.filter((set) => !set.deleting);
    for (const set of this.sets) {
      const version = set.images[0]!.slice(4);
      if (set.replicas > set.current) this.started += set.replicas - set.current;
      const before = [set.current, set.ready].join();
      set.current = set.replicas;
      const most = this.broken.has(version) ? 0 : (this.limping.get(version) ?? set.replicas);
      set.ready = Math.min(most, set.replicas);
      set.available = set.ready;
      if ([set.current, set.ready].join() !== before) this.#touch(set);
    }
    for (const view of Object.values(this.services)) view.ready = this.#ready();
  }

  #ready(): Record<string, number> {
    return Object.fromEntries(this.sets.map((set) => [set.hash, set.ready]));
  }

  #set(name: string, digestOf: string, images: string[], owned: boolean): ReplicaSetView {
    return replicaSetView(name, `set-${this.#counter}`, this.#next(), { digest: digestOf, images, owned });
  }

  /** What must hold at every moment. */
  #check(): void {
    const canaries = this.sets.filter((set) => set.canary && set.replicas > 0);
    if (canaries.length > 1) this.problems.push('two canaries');
    if (this.weights && this.weights.canary > 0) {
      const leaf = this.services['web-canary'];
      const set = this.sets.find(({ hash }) => hash === leaf?.hash);
      if (this.deployment && this.deployment.paused === false && set && !set.owned) {
        this.problems.push('weight on a canary that the gate does not hold');
      }
    }
    const stable = this.services['web-stable'];
    // A Deployment that was just re-created has other pods than any selector knows until the next turn.
    const known = this.deployment?.uid === this.state.deploymentUid;
    if (known && stable?.hash && this.deployment && this.deployment.replicas > 0) {
      const set = this.sets.find(({ hash }) => hash === stable.hash);
      if (this.broken.size === 0 && (set?.ready ?? 0) === 0 && (this.weights?.stable ?? 0) > 0) {
        this.problems.push(`the stable leaf selects ${stable.hash}, which has no pods`);
      }
    }
  }

  observe(): Observation {
    return structuredClone({
      namespace: 'shop',
      name: 'web',
      generation: this.generation,
      spec: this.spec,
      deployment: this.deployment,
      replicaSets: this.sets,
      root: this.services.web,
      stableLeaf: this.services['web-stable'],
      canaryLeaf: this.services['web-canary'],
      preview: this.services['web-preview'],
      others: [],
      gate: {
        ...this.gate,
        version: 'v1',
        probe: { at: this.now, holds: true, message: '', version: 'v1', failures: 0 },
      },
      route: {
        weights: this.weights,
        version: this.weights && String(this.version),
        acknowledged: {
          done: this.acknowledged === this.version,
          proxies: this.acknowledged === this.version ? 3 : 0,
          of: 3,
        },
      },
      look: this.look,
      commands: this.commands,
      ...(this.problem ? { problem: this.problem } : {}),
    });
  }

  /**
   * One reconcile; after `crashAfter` effects the process dies: the state is saved, the rest never happens. After -1 the state is not
   * saved either, and what need not wait for it is done.
   */
  turn(crashAfter = Number.POSITIVE_INFINITY): Result {
    const result = machine(this.state, this.observe(), this.now);
    const { first, rest } = ahead(result.effects, this.state.phase.name);
    this.last = result;
    if (crashAfter < 0) {
      for (const effect of first) this.#carryOut(effect);
      this.settle();
      return result;
    }
    this.state = JSON.parse(JSON.stringify(result.state)) as State;
    let count = 0;
    const order = this.backwards
      ? groups(rest)
          .flatMap((group) => group.toReversed())
          .concat(first)
      : [...first, ...rest];
    for (const effect of order) {
      if (count >= crashAfter) break;
      count += 1;
      this.effects.push(effect);
      if (!this.#carryOut(effect)) break;
      this.settle();
    }
    if (this.acknowledging) this.acknowledged = this.version;
    this.settle();
    return result;
  }

  /** Turns until `done`, moving time to whenever the machine wants to be woken. */
  until(done: (world: World) => boolean, limit = 400): this {
    for (let count = 0; count < limit; count += 1) {
      if (done(this)) return this;
      const before = this.fingerprint();
      const { wakeAt, effects } = this.turn();
      const quiet = before === this.fingerprint() && effects.every(({ kind }) => kind !== 'look');
      if (quiet && wakeAt !== undefined) this.now = Math.max(this.now + 1, wakeAt);
      else this.now += 10;
    }
    throw new Error(
      `not reached: ${this.state.phase.name}: ${this.last?.message}\n${this.state.history.map(({ at, reason, message }) => `${at} ${reason} ${message}`).join('\n')}\n${JSON.stringify(this.sets)}`,
    );
  }

  phase(name: State['phase']['name']): this {
    return this.until(({ state }) => state.phase.name === name);
  }

  rest(): this {
    return this.until((world) => {
      if (world.state.phase.name !== 'Healthy') return false;
      const { effects } = machine(world.state, world.observe(), world.now);
      return effects.every(({ kind }) => kind === 'event' || kind === 'probe-gate');
    });
  }

  fingerprint(): string {
    const { analysis: _analysis, ...state } = this.state;
    return JSON.stringify([state, this.deployment, this.sets, this.services, this.gate, this.weights]);
  }

  /** The end state without what may differ between two ways to it. */
  outcome(): object {
    return {
      phase: this.state.phase.name,
      stable: this.state.stable?.images,
      paused: this.deployment?.paused,
      pods: this.sets.filter(({ current }) => current > 0).map(({ images, current }) => [images, current]),
      selectors: Object.fromEntries(Object.values(this.services).map(({ name, hash }) => [name, hash])),
      pins: this.gate.pins,
      weights: this.weights,
      canaries: this.sets.filter(({ canary }) => canary).length,
    };
  }

  #carryOut(effect: Effect): boolean {
    const set = (name: string) => this.sets.find((each) => each.name === name);
    switch (effect.kind) {
      case 'ensure-gate-entry':
        this.gate.entry = 'web';
        return true;
      case 'pin-service': {
        const view = this.services[effect.service]!;
        if (effect.hash === undefined) {
          delete this.gate.pins[effect.service];
          delete view.hash;
        } else {
          this.gate.pins[effect.service] = [effect.hash, ...view.selector].join('|');
          view.hash = effect.hash;
        }
        return true;
      }
      case 'ensure-leaf':
        this.services[effect.service] = {
          ...service(effect.service, true),
          hash: effect.hash,
          ready: this.#ready(),
        };
        return true;
      case 'ensure-route':
        this.weights ??= { stable: 100, canary: 0 };
        return true;
      case 'set-weights':
        if (this.weights?.canary === effect.canary && this.weights.stable === effect.stable) return true;
        this.weights = { stable: effect.stable, canary: effect.canary };
        this.weightsSeen.push(effect.canary);
        this.version += 1;
        return true;
      case 'create-canary':
        if (this.deployment?.digest !== effect.run.digest) return false;
        if (!set(effect.run.replicaSet)) {
          const made = this.#set(effect.run.replicaSet, effect.run.digest, effect.run.images, false);
          this.sets.push({ ...made, hash: effect.run.hash });
        }
        return true;
      case 'scale-replica-set': {
        const target = set(effect.name);
        if (!target) return false;
        target.replicas = effect.replicas;
        target.desired = effect.desired;
        this.#touch(target);
        return true;
      }
      case 'delete-replica-set': {
        const target = set(effect.name);
        if (target && target.resourceVersion !== effect.resourceVersion) return false;
        if (target) target.deleting = true;
        return true;
      }
      case 'raise-scale':
        if (this.deployment?.resourceVersion !== effect.resourceVersion) return false;
        this.scale(effect.replicas);
        return true;
      case 'release': {
        const target = set(effect.name);
        const same =
          target?.resourceVersion === effect.resourceVersion &&
          this.deployment?.resourceVersion === effect.deploymentVersion &&
          this.deployment.digest === effect.digest;
        if (!same) return false;
        const old = this.sets.filter((each) => each.owned && each.replicas > 0);
        if (target.ready < this.deployment!.replicas) this.problems.push('released before it was ready');
        if (old.some((each) => each.digest === target.digest)) this.problems.push('an equal one was left');
        target.released = true;
        target.canary = false;
        this.#touch(target);
        return true;
      }
      case 'set-paused':
        if (!this.deployment || this.deployment.resourceVersion !== effect.resourceVersion) return false;
        if (this.deployment.digest !== effect.digest) this.problems.push('unpaused another template');
        this.deployment.paused = effect.paused;
        this.#touch(this.deployment);
        return true;
      case 'look':
        this.look = { id: effect.id, at: this.now, verdict: this.#verdict() };
        return true;
      case 'consume':
        delete this.commands[effect.verb];
        return true;
      case 'probe-gate':
      case 'event':
        return true;
      default:
        return effect satisfies never;
    }
  }

  #verdict(): Verdict {
    return {
      decision: this.verdict,
      reason: this.verdict === 'fail' ? 'MetricFailed' : this.verdict === 'pass' ? 'MetricsPassed' : 'NoData',
      message: this.verdict === 'fail' ? 'success-rate 42% < 99%' : 'success-rate 100%',
      metrics: [],
      requests: 100,
      failedRequests: this.verdict === 'fail' ? 7 : 0,
      memory: {},
    };
  }
}
