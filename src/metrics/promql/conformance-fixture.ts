import { type Labels, labelsOf, NAME } from '../labels.ts';

export interface FixtureSeries {
  labels: Labels;
  samples: [time: number, value: number][];
}

/** A small generator of the same numbers every time (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export const START = Date.parse('2026-01-05T12:00:00Z');
export const END = START + 40 * 60_000;

const BOUNDS = ['1', '2', '5', '10', '50', '100', '500', '1000', '+Inf'];

/** Counters with resets, gauges with every odd float, histograms, irregular scrapes, gaps and late starts. */
export function fixture(): FixtureSeries[] {
  const random = generator(42);
  const series: FixtureSeries[] = [];
  const add = (
    labels: Record<string, string>,
    sample: (time: number, index: number) => number,
    every = 5000,
  ) => {
    const start =
      START + (random() < 0.3 ? Math.floor(random() * 20 * 60_000) : Math.floor(random() * every));
    const stop = random() < 0.3 ? END - Math.floor(random() * 15 * 60_000) : END;
    const samples: [number, number][] = [];
    let index = 0;
    for (let time = start; time < stop; time += every) {
      index += 1;
      // A gap in some series, jitter in all.
      if (labels.gap === 'yes' && time > START + 600_000 && time < START + 1_100_000) continue;
      samples.push([time + Math.floor(random() * 20), sample(time, index)]);
    }
    series.push({ labels: labelsOf(labels), samples });
  };
  for (const job of ['web', 'orders', 'payments']) {
    for (const revision of ['a1', 'b2']) {
      for (const classification of ['success', 'failure']) {
        let total = Math.floor(random() * 100);
        add(
          { [NAME]: 'response_total', job, revision, classification, gap: job === 'orders' ? 'yes' : 'no' },
          () => {
            total += Math.floor(random() * (classification === 'success' ? 40 : 3));
            if (random() < 0.004) total = 0;
            return total;
          },
        );
      }
      const counts = BOUNDS.map(() => 0);
      const rows = BOUNDS.map((le) => ({ le, samples: [] as [number, number][] }));
      for (let time = START + Math.floor(random() * 5000); time < END; time += 5000) {
        for (let request = 0; request < 5; request += 1) {
          const latency = Math.exp(random() * 7);
          for (const [index, bound] of BOUNDS.entries())
            if (latency <= Number(bound.replace('+', ''))) counts[index]! += 1;
        }
        // The last count lags behind now and then, as buckets read one after another do.
        for (const [index, row] of rows.entries())
          row.samples.push([time, counts[index]! - (index === 4 && random() < 0.05 ? 3 : 0)]);
      }
      for (const { le, samples } of rows)
        series.push({ labels: labelsOf({ [NAME]: 'latency_ms_bucket', job, revision, le }), samples });
    }
    add({ [NAME]: 'temperature', job }, (_time, index) => Math.sin(index / 20) * 30 + random());
    add({ [NAME]: 'replicas', job, zone: `z${job.length % 3}` }, () => Math.floor(random() * 4), 15_000);
    add({ [NAME]: 'info', job, version: `v${job.length}` }, () => 1, 30_000);
  }
  const odd = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 0, 1e21, 1e-9, -5.5];
  for (const [index] of odd.entries())
    add({ [NAME]: 'odd', n: String(index) }, (_time, at) => odd[(at + index) % odd.length]!);
  return series;
}

/** As OpenMetrics text, which promtool turns into blocks. */
export function toOpenMetrics(series: readonly FixtureSeries[]): string {
  const lines: string[] = [];
  for (const { labels, samples } of series) {
    const pairs: string[] = [];
    for (let index = 0; index < labels.length; index += 2)
      if (labels[index] !== NAME) pairs.push(`${labels[index]}=${JSON.stringify(labels[index + 1])}`);
    const name = labels[labels.indexOf(NAME) + 1];
    for (const [time, value] of samples) {
      const text = Number.isNaN(value)
        ? 'NaN'
        : Object.is(value, -0)
          ? '-0'
          : String(value).replace('Infinity', 'Inf');
      lines.push(`${name}{${pairs.join(',')}} ${text} ${(time / 1000).toFixed(3)}`);
    }
  }
  return `${lines.join('\n')}\n# EOF\n`;
}
