import type { Rollout } from '../api/rollout.ts';
import {
  type Counter,
  gaugeText,
  type Histogram,
  labelText,
  type MetricsRegistry,
} from '../controller/index.ts';

/** What the series of a Rollout say. */
interface Series {
  labels: string;
  phase: string | undefined;
  stuck: number;
  gated: number;
  unmeshed: number;
  weight: number;
  /** Seconds since 1970 when it entered its phase. */
  since: number | undefined;
}

const family =
  (
    name: string,
    help: string,
    value: (series: Series) => number | undefined,
    labels: (series: Series) => string | undefined = (series) => series.labels,
  ) =>
  (all: readonly Series[]): string =>
    gaugeText(name, help, function* () {
      for (const series of all) {
        const [text, number] = [labels(series), value(series)];
        if (text !== undefined && number !== undefined) yield [text, number];
      }
    });

const FAMILIES = [
  family(
    'weir_rollout_phase',
    'One for the phase a Rollout is in.',
    () => 1,
    ({ phase }) => phase,
  ),
  family('weir_rollout_stuck', 'One while a Rollout is Stalled: it needs a person.', ({ stuck }) => stuck),
  family(
    'weir_rollout_phase_start_time_seconds',
    'When the Rollout entered its phase, in seconds since 1970.',
    ({ since }) => since,
  ),
  family(
    'weir_rollout_canary_weight',
    'Percentage of requests that go to the canary.',
    ({ weight }) => weight,
  ),
  family('weir_rollout_gated', 'One while the gate was seen to hold.', ({ gated }) => gated),
  family(
    'weir_rollout_no_meshed_caller',
    'One while a canary gets no requests because no caller is in the mesh.',
    ({ unmeshed }) => unmeshed,
  ),
];

/** What alert rules need: which phase, stuck or not, how long, and how the controller itself is doing. */
export class RolloutMetrics {
  readonly #rollouts: { list(): Rollout[] };
  #rendered: { of: Rollout[]; text: Buffer } = { of: [], text: Buffer.alloc(0) };
  readonly #duration: Histogram;
  readonly #errors: Counter;
  readonly #lateness: Histogram;

  constructor(registry: MetricsRegistry, rollouts: { list(): Rollout[] }) {
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
    registry.rendered(() => this.#text());
  }

  /** Most scrapes find every Rollout as the one before did. */
  #text(): Buffer {
    const rollouts = this.#rollouts.list();
    const { of } = this.#rendered;
    const same = rollouts.length === of.length && rollouts.every((rollout, index) => rollout === of[index]);
    if (!same) {
      const series = rollouts.map(seriesOf);
      this.#rendered = { of: rollouts, text: Buffer.from(FAMILIES.map((family) => family(series)).join('')) };
    }
    return this.#rendered.text;
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
    since: last ? Date.parse(last) / 1000 : undefined,
  };
}
