import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { MetricStore } from '../storage/store.ts';
import type { KubernetesSdConfig, MetricsConfig, ScrapeConfig } from './config.ts';
import { createFetcher, type Fetcher } from './fetch.ts';
import type { TargetSource } from './kubernetes.ts';
import { ScrapeLoop } from './loop.ts';
import { type ResolveTargets, staticTargets, targetResolver } from './targets.ts';

export type WatchPods = (
  config: KubernetesSdConfig,
  resolve: ResolveTargets,
  onChange: () => void,
) => Promise<TargetSource>;

interface Job {
  config: ScrapeConfig;
  resolve: ResolveTargets;
  fetcher: Fetcher;
  sources: TargetSource[];
  loops: Map<string, ScrapeLoop>;
  timer: NodeJS.Timeout | undefined;
  stopped: boolean;
}

export interface ManagerOptions {
  store: MetricStore;
  clock: Clock;
  log: Logger;
  watchPods: WatchPods;
}

/** Changes of discovery are applied together after this many ms: pods come and go in bursts. */
const SETTLE = 100;

/** Keeps one scrape loop per target of a configuration; `apply` moves to another without losing what stayed. */
export class ScrapeManager {
  readonly #options: ManagerOptions;
  #jobs: Job[] = [];

  constructor(options: ManagerOptions) {
    this.#options = options;
  }

  get loops(): ScrapeLoop[] {
    return this.#jobs.flatMap((job) => [...job.loops.values()]);
  }

  /**
   * Resolves when the first targets of every job are known and their loops run. The new configuration is in force at
   * once: neither a reload nor a stop waits for an API server that does not answer.
   */
  async apply(config: MetricsConfig): Promise<void> {
    const wanted = new Map(config.scrapeConfigs.map((entry) => [JSON.stringify(entry), entry]));
    const kept = this.#jobs.filter((job) => wanted.has(JSON.stringify(job.config)));
    const gone = this.#jobs.filter((job) => !kept.includes(job));
    for (const job of kept) wanted.delete(JSON.stringify(job.config));
    const added = [...wanted.values()].map(
      (entry): Job => ({
        config: entry,
        resolve: targetResolver(entry),
        fetcher: createFetcher(entry),
        sources: [],
        loops: new Map(),
        timer: undefined,
        stopped: false,
      }),
    );
    this.#jobs = [...kept, ...added];
    await Promise.all(gone.map((job) => this.#stopJob(job)));
    await Promise.all(added.map((job) => this.#startJob(job)));
  }

  async stop(): Promise<void> {
    const jobs = this.#jobs;
    this.#jobs = [];
    await Promise.all(jobs.map((job) => this.#stopJob(job)));
  }

  async #startJob(job: Job): Promise<void> {
    // Static targets do not wait for an API server that may be away.
    this.#sync(job);
    for (const entry of job.config.kubernetes_sd_configs) {
      const source = await this.#options.watchPods(entry, job.resolve, () => {
        if (job.stopped) return;
        job.timer ??= setTimeout(() => {
          job.timer = undefined;
          this.#sync(job);
        }, SETTLE);
      });
      if (job.stopped) source.stop();
      job.sources.push(source);
    }
    await Promise.all(job.sources.map((source) => source.ready));
    this.#sync(job);
  }

  #sync(job: Job): void {
    if (job.stopped) return;
    const found = [
      ...job.resolve(staticTargets(job.config)),
      ...job.sources.flatMap((source) => source.list()),
    ];
    const targets = new Map(found.map((target) => [target.id, target]));
    for (const [id, loop] of job.loops) {
      if (targets.has(id)) continue;
      job.loops.delete(id);
      void loop.stop();
    }
    for (const [id, target] of targets) {
      if (job.loops.has(id)) continue;
      const { store, clock } = this.#options;
      const loop = new ScrapeLoop(target, store, job.fetcher, clock);
      job.loops.set(id, loop);
      loop.start();
    }
    this.#options.log.debug({ job: job.config.job_name, targets: targets.size }, 'targets known');
  }

  async #stopJob(job: Job): Promise<void> {
    job.stopped = true;
    clearTimeout(job.timer);
    for (const source of job.sources) source.stop();
    await Promise.all([...job.loops.values()].map((loop) => loop.stop()));
    job.loops.clear();
    job.fetcher.close();
  }
}
