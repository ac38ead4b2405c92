import type { Clock } from '../lib/clock.ts';
import { systemClock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { startMetricsServer } from './http/server.ts';
import type { MetricsConfig } from './scrape/config.ts';
import { watchPods } from './scrape/kubernetes.ts';
import { ScrapeManager, type WatchPods } from './scrape/manager.ts';
import { MetricStore } from './storage/store.ts';

export { type MetricsConfig, parseConfig } from './scrape/config.ts';
export { MetricStore } from './storage/store.ts';

export interface MetricsStoreOptions {
  config: MetricsConfig;
  host: string;
  port: number;
  /** Milliseconds samples are kept; default 6 h. */
  retention?: number;
  /** Bytes of samples kept at most; default 512 MiB. */
  maxBytes?: number;
  version?: string;
  kubeconfig?: string;
  log: Logger;
  clock?: Clock;
  /** Replaces discovery of pods, for tests and embedding. */
  watchPods?: WatchPods;
}

export interface RunningMetricsStore {
  url: string;
  port: number;
  store: MetricStore;
  /** Resolves when the first targets are known. */
  ready: Promise<void>;
  reload(config: MetricsConfig): Promise<void>;
  stop(): Promise<void>;
}

/** Milliseconds between clean-ups of old samples. */
const COLLECT_EVERY = 30_000;

/** Scrapes what a configuration says, keeps it in memory and answers the Prometheus HTTP API. */
export async function startMetricsStore(options: MetricsStoreOptions): Promise<RunningMetricsStore> {
  const { log, clock = systemClock } = options;
  let { config } = options;
  tellUnused(config, log);
  const store = new MetricStore({
    retention: options.retention ?? 6 * 3_600_000,
    maxBytes: options.maxBytes ?? 512 * 1024 * 1024,
  });
  const discover: WatchPods =
    options.watchPods ??
    ((entry, resolve, onChange) =>
      watchPods(entry, { kubeconfig: options.kubeconfig, log, resolve, onChange }));
  const manager = new ScrapeManager({ store, clock, log, watchPods: discover });
  let isReady = false;
  const server = await startMetricsServer({
    host: options.host,
    port: options.port,
    context: {
      store,
      clock,
      version: options.version ?? '0.0.0',
      config: () => config,
      loops: () => manager.loops,
    },
    metrics: () => ownMetrics(store, manager),
    ready: () => isReady,
    log,
  });
  const ready = manager.apply(config).then(() => {
    isReady = true;
    log.info({ targets: manager.loops.length }, 'targets known');
  });
  const timer = setInterval(() => store.collect(clock.now()), COLLECT_EVERY);
  const host = ['0.0.0.0', '::'].includes(options.host) ? '127.0.0.1' : options.host;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${server.port}`,
    port: server.port,
    store,
    ready,
    async reload(next) {
      tellUnused(next, log);
      await manager.apply(next);
      config = next;
    },
    async stop() {
      clearInterval(timer);
      await Promise.all([manager.stop(), server.stop()]);
    },
  };
}

function tellUnused({ ignored }: MetricsConfig, log: Logger): void {
  if (ignored.length > 0) log.warn({ sections: ignored }, 'configuration sections not used');
}

function ownMetrics(store: MetricStore, manager: ScrapeManager): string {
  const { series, samples, bytes } = store.stats();
  const up = manager.loops.filter((loop) => loop.status.health === 'up').length;
  const gauges: [string, string, number][] = [
    ['weir_metrics_series', 'Series in memory.', series],
    ['weir_metrics_samples', 'Samples in memory.', samples],
    ['weir_metrics_sample_bytes', 'Bytes the samples take, compressed.', bytes],
    ['weir_metrics_targets', 'Targets that are scraped.', manager.loops.length],
    ['weir_metrics_targets_up', 'Targets whose last scrape succeeded.', up],
    ['process_resident_memory_bytes', 'Resident memory size in bytes.', process.memoryUsage.rss()],
  ];
  return gauges
    .map(([name, help, value]) => `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${name} ${value}\n`)
    .join('');
}
