// 100,000 series scraped every 5 s: CPU of parsing and storing, memory, bytes per sample, and a dashboard's queries.
import { FakeClock } from '../../src/lib/clock.ts';
import { evaluateInstant } from '../../src/metrics/promql/evaluate.ts';
import { parseQuery } from '../../src/metrics/promql/parse.ts';
import { parseConfig } from '../../src/metrics/scrape/config.ts';
import { ScrapeLoop } from '../../src/metrics/scrape/loop.ts';
import { staticTargets, targetResolver } from '../../src/metrics/scrape/targets.ts';
import { MetricStore } from '../../src/metrics/storage/store.ts';
import { type Bench, median, type Row } from './row.ts';

const TARGETS = 200;
const SERIES = 500;
const ROUNDS = 60;
const INTERVAL = 5000;

/** A proxy's page after `round` scrapes: latency buckets and counters, a third of them idle. */
function page(target: number, round: number): string {
  const lines: string[] = [];
  const common = `direction="outbound",namespace="shop",deployment="web-${target % 20}",pod="web-${target}"`;
  for (let series = 0; series < SERIES; series += 1) {
    const grown =
      series % 3 === 0 ? 0 : round * (series % 40) + ((target * 31 + series * 17 + round * 7) % 11);
    lines.push(
      `response_latency_ms_bucket{${common},dst_service="s${series % 25}",le="${(series / 25) | 0}"} ${grown}`,
    );
  }
  return `${lines.join('\n')}\n`;
}

const QUERIES = [
  'sum by (deployment) (rate(response_latency_ms_bucket{dst_service="s1"}[1m]))',
  'histogram_quantile(0.99, sum by (le) (rate(response_latency_ms_bucket{deployment="web-3"}[1m])))',
  'sum(rate(response_latency_ms_bucket[1m]))',
];

export const bench: Bench = {
  summary: 'metrics store: 100,000 series every 5 s on one core within 1 GiB',
  async run({ log }) {
    const clock = new FakeClock();
    const start = clock.now();
    const store = new MetricStore({ retention: 6 * 3_600_000, maxBytes: 512 * 1024 * 1024 });
    const addresses = Array.from({ length: TARGETS }, (_, index) => `127.0.0.1:${10_000 + index}`);
    const config = parseConfig(
      JSON.stringify({
        global: { scrape_interval: '5s' },
        scrape_configs: [{ job_name: 'pods', static_configs: [{ targets: addresses }] }],
      }),
    ).scrapeConfigs[0]!;
    let text = '';
    const fetcher = { get: async () => text, close: () => {} };
    const loops = targetResolver(config)(staticTargets(config)).map(
      (target) => new ScrapeLoop(target, store, fetcher, clock),
    );
    const signal = new AbortController().signal;
    const seconds: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      let spent = 0;
      for (const [index, loop] of loops.entries()) {
        text = page(index, round);
        const before = process.cpuUsage();
        await loop.scrape(start + round * INTERVAL, signal);
        const { user, system } = process.cpuUsage(before);
        spent += (user + system) / 1e6;
      }
      seconds.push(spent);
    }
    log(`first round ${seconds[0]?.toFixed(2)} s, median ${median(seconds).toFixed(2)} s`);
    const { series, samples, bytes } = store.stats();
    const perRound = median(seconds.slice(1));
    const rss = process.memoryUsage.rss() / 1024 / 1024;
    const rows: Row[] = [
      { name: 'series', value: series, unit: '' },
      {
        name: 'CPU of one round of 100,000 samples',
        value: Number(perRound.toFixed(3)),
        unit: 's',
        bar: 'under the 5 s between rounds, one core',
        ok: perRound < INTERVAL / 1000,
      },
      { name: 'bytes a sample', value: Number((bytes / samples).toFixed(2)), unit: 'B' },
      {
        name: `resident memory after ${(ROUNDS * INTERVAL) / 60_000} min`,
        value: Math.round(rss),
        unit: 'MiB',
        bar: '<= 1024',
        ok: rss <= 1024,
      },
    ];
    for (const query of QUERIES) {
      const times: number[] = [];
      for (let run = 0; run < 5; run += 1) {
        const before = performance.now();
        evaluateInstant(parseQuery(query), start + (ROUNDS - 1) * INTERVAL, store);
        times.push(performance.now() - before);
      }
      rows.push({ name: query.slice(0, 44), value: Number(median(times).toFixed(1)), unit: 'ms' });
    }
    return rows;
  },
};
