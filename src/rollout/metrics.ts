import type { Rollout } from '../api/rollout.ts';
import { type Counter, type Histogram, labelText, type MetricsRegistry } from '../controller/index.ts';
import type { Clock } from '../lib/clock.ts';

/** What the series of a Rollout say, rendered once for each version of it. */
interface Series {
  labels: string;
  phase: string | undefined;
  stuck: number;
  gated: number;
  unmeshed: number;
  weight: number;
  /** Milliseconds since 1970 when it entered its phase. */
  since: number | undefined;
}

/** What alert rules need: which phase, stuck or not, how long, and how the controller itself is doing. */
export class RolloutMetrics {
  readonly #rollouts: { list(): Rollout[] };
  readonly #series = new WeakMap<Rollout, Series>();
  readonly #duration: Histogram;
  readonly #errors: Counter;
  readonly #lateness: Histogram;

  constructor(registry: MetricsRegistry, rollouts: { list(): Rollout[] }, clock: Clock) {
    this.#rollouts = rollouts;
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
    const gauge = (name: string, help: string, value: (series: Series) => number | undefined) =>
      registry.readout('gauge', name, help, () => this.#read(value));
    registry.readout('gauge', 'weir_rollout_phase', 'One for the phase a Rollout is in.', () =>
      this.#read(
        () => 1,
        ({ phase }) => phase,
      ),
    );
    gauge('weir_rollout_stuck', 'One while a Rollout is Stalled: it needs a person.', ({ stuck }) => stuck);
    gauge('weir_rollout_phase_seconds', 'Time since the Rollout entered its phase.', ({ since }) =>
      since === undefined ? undefined : Math.max(0, (clock.now() - since) / 1000),
    );
    gauge(
      'weir_rollout_canary_weight',
      'Percentage of requests that go to the canary.',
      ({ weight }) => weight,
    );
    gauge('weir_rollout_gated', 'One while the gate was seen to hold.', ({ gated }) => gated);
    gauge(
      'weir_rollout_no_meshed_caller',
      'One while a canary gets no requests because no caller is in the mesh.',
      ({ unmeshed }) => unmeshed,
    );
  }

  *#read(
    value: (series: Series) => number | undefined,
    labels: (series: Series) => string | undefined = (series) => series.labels,
  ): Generator<readonly [string, number]> {
    for (const rollout of this.#rollouts.list()) {
      let series = this.#series.get(rollout);
      if (!series) {
        series = seriesOf(rollout);
        this.#series.set(rollout, series);
      }
      const [text, number] = [labels(series), value(series)];
      if (text !== undefined && number !== undefined) yield [text, number];
    }
  }

  looked(lateMs: number): void {
    this.#lateness.observe(Math.max(0, lateMs) / 1000);
  }

  reconciled({ seconds, error }: { seconds: number; error: boolean }): void {
    this.#duration.observe(seconds);
    if (error) this.#errors.add();
  }
}

function seriesOf({ metadata, status }: Rollout): Series {
  const labels = { namespace: metadata.namespace ?? '', rollout: metadata.name };
  const is = (type: string) =>
    status?.conditions.find((condition) => condition.type === type)?.status === 'True' ? 1 : 0;
  const last = status?.history.findLast(({ from, to }) => from !== to)?.at ?? metadata.creationTimestamp;
  return {
    labels: labelText(labels),
    phase: status?.phase ? labelText({ ...labels, phase: status.phase }) : undefined,
    stuck: is('Stalled'),
    gated: is('Gated'),
    unmeshed: is('NoMeshedCaller'),
    weight: status?.traffic?.canary ?? 0,
    since: last ? Date.parse(last) : undefined,
  };
}
