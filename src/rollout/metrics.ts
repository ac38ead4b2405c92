import type { Rollout } from '../api/rollout.ts';
import type { Counter, Gauge, Histogram, MetricsRegistry } from '../controller/index.ts';
import type { Clock } from '../lib/clock.ts';

/** What alert rules need: which phase, stuck or not, how long, and how the controller itself is doing. */
export class RolloutMetrics {
  readonly #duration: Histogram;
  readonly #errors: Counter;
  readonly #lateness: Histogram;

  constructor(registry: MetricsRegistry, rollouts: { list(): Rollout[] }, clock: Clock) {
    this.#duration = registry.histogram(
      'weir_reconcile_duration_seconds',
      'Time one reconcile of a Rollout took.',
      [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5],
    );
    this.#lateness = registry.histogram(
      'weir_analysis_lateness_seconds',
      'Time from when a look at the metrics was due until it began.',
      [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    );
    this.#errors = registry.counter('weir_reconcile_errors_total', 'Reconciles that failed and come again.');
    this.#errors.add(0);
    const gauge = (name: string, help: string): Gauge => registry.gauge(name, help);
    const phase = gauge('weir_rollout_phase', 'One for the phase a Rollout is in.');
    const stuck = gauge('weir_rollout_stuck', 'One while a Rollout is Stalled: it needs a person.');
    const age = gauge('weir_rollout_phase_seconds', 'Time since the Rollout entered its phase.');
    const weight = gauge('weir_rollout_canary_weight', 'Percentage of requests that go to the canary.');
    const gated = gauge('weir_rollout_gated', 'One while the gate was seen to hold.');
    const unmeshed = gauge(
      'weir_rollout_no_meshed_caller',
      'One while a canary gets no requests because no caller is in the mesh.',
    );
    registry.onCollect(() => {
      for (const each of [phase, stuck, age, weight, gated, unmeshed]) each.clear();
      for (const { metadata, status } of rollouts.list()) {
        const labels = { namespace: metadata.namespace ?? '', rollout: metadata.name };
        if (status?.phase) phase.set(1, { ...labels, phase: status.phase });
        const is = (type: string) =>
          status?.conditions.find((condition) => condition.type === type)?.status === 'True' ? 1 : 0;
        stuck.set(is('Stalled'), labels);
        gated.set(is('Gated'), labels);
        unmeshed.set(is('NoMeshedCaller'), labels);
        weight.set(status?.traffic?.canary ?? 0, labels);
        const last =
          status?.history.findLast(({ from, to }) => from !== to)?.at ?? metadata.creationTimestamp;
        if (last) age.set(Math.max(0, (clock.now() - Date.parse(last)) / 1000), labels);
      }
    });
  }

  looked(lateMs: number): void {
    this.#lateness.observe(Math.max(0, lateMs) / 1000);
  }

  reconciled({ seconds, error }: { seconds: number; error: boolean }): void {
    this.#duration.observe(seconds);
    if (error) this.#errors.add();
  }
}
