import { createHash } from 'node:crypto';
import type { Clock } from '../../lib/clock.ts';
import { entriesOf, type Labels, labelsOf, NAME } from '../labels.ts';
import type { MemorySeries } from '../storage/series.ts';
import type { MetricStore } from '../storage/store.ts';
import { parseExposition, parseSeries } from './exposition.ts';
import type { Fetcher } from './fetch.ts';
import { compileRules, relabel } from './relabel.ts';
import type { Target } from './targets.ts';

/** Scheduling is never exact; within this many ms a scrape counts as on time, which compresses better. */
const TOLERANCE = 2;

/** A sample this many ms or more ahead is left out, as in Prometheus: every later one would count as out of order. */
const TOO_FAR_AHEAD = 600_000;

interface Entry {
  /** undefined: relabelling drops it. */
  series: MemorySeries | undefined;
  labels: Labels | undefined;
  /** The round that last saw it without a timestamp of its own; those of the round before turn stale. */
  round: number;
}

export interface ScrapeStatus {
  health: 'unknown' | 'up' | 'down';
  lastError: string;
  lastScrape: number;
  lastDuration: number;
}

/** Scrapes one target at its interval until stopped, then marks its series as ended. */
export class ScrapeLoop {
  readonly target: Target;
  readonly status: ScrapeStatus = { health: 'unknown', lastError: '', lastScrape: 0, lastDuration: 0 };
  readonly #store: MetricStore;
  readonly #fetcher: Fetcher;
  readonly #clock: Clock;
  readonly #rules;
  readonly #targetLabels: ReadonlyMap<string, string>;
  readonly #cache = new Map<string, Entry>();
  readonly #stopped = new AbortController();
  #round = 0;
  #lastTime = 0;
  #running: Promise<void> | undefined;

  constructor(target: Target, store: MetricStore, fetcher: Fetcher, clock: Clock) {
    this.target = target;
    this.#store = store;
    this.#fetcher = fetcher;
    this.#clock = clock;
    this.#rules = compileRules(target.config.metric_relabel_configs);
    this.#targetLabels = new Map(entriesOf(target.labels));
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
    const time = Math.max(this.#clock.now(), this.#lastTime + 1);
    if (this.#round === 0) return;
    this.#round += 1;
    this.#markStale(time);
    for (const name of ['up', 'scrape_duration_seconds', 'scrape_samples_scraped'])
      this.#report(name, time, 0, true);
  }

  async #run(): Promise<void> {
    const { interval } = this.target;
    const signal = this.#stopped.signal;
    // Spread over the interval by identity, so that neither a restart nor many targets make a burst.
    const offset = createHash('md5').update(this.target.id).digest().readUInt32BE(0) % interval;
    const now = this.#clock.now();
    let due = now - ((now - offset) % interval) + ((now - offset) % interval > 0 ? interval : 0);
    while (!signal.aborted) {
      try {
        await this.#clock.sleep(Math.max(0, due - this.#clock.now()), signal);
      } catch {
        return;
      }
      const started = this.#clock.now();
      await this.scrape(Math.abs(started - due) <= TOLERANCE ? due : started, signal);
      const behind = this.#clock.now() - due;
      due += interval * Math.max(1, Math.ceil(behind / interval));
    }
  }

  /** One scrape, its samples written at `time` (ms) where they carry no timestamp. Never throws. */
  async scrape(time: number, signal: AbortSignal): Promise<void> {
    const started = performance.now();
    let samples = 0;
    let failure: string | undefined;
    this.#round += 1;
    try {
      const text = await this.#fetcher.get(this.target.url, this.target.timeout, signal);
      samples = this.#ingest(text, time);
    } catch (thrown) {
      if (signal.aborted) {
        this.#round -= 1;
        return;
      }
      failure = (thrown as Error).message || String(thrown);
    }
    this.#markStale(time);
    const seconds = (performance.now() - started) / 1000;
    this.#lastTime = time;
    this.#report('up', time, failure === undefined ? 1 : 0);
    this.#report('scrape_duration_seconds', time, seconds);
    this.#report('scrape_samples_scraped', time, samples);
    Object.assign(this.status, {
      health: failure === undefined ? 'up' : 'down',
      lastError: failure ?? '',
      lastScrape: time,
      lastDuration: seconds,
    } satisfies ScrapeStatus);
  }

  /** All lines or none: an answer that breaks off must not look like a metric that stopped. */
  #ingest(text: string, time: number): number {
    const lines: { entry: Entry; value: number; timestamp: number | undefined }[] = [];
    parseExposition(text, (series, value, timestamp) => {
      lines.push({ entry: this.#entry(series), value, timestamp });
    });
    const { sample_limit, honor_timestamps } = this.target.config;
    if (sample_limit > 0 && lines.length > sample_limit)
      throw new Error(`sample limit exceeded: ${lines.length} samples, sample_limit is ${sample_limit}`);
    for (const { entry, value, timestamp } of lines) {
      if (!entry.labels) {
        entry.round = this.#round;
        continue;
      }
      if (!entry.series?.alive) {
        entry.series = this.#store.series(entry.labels);
        entry.labels = entry.series.labels;
      }
      if (timestamp === undefined || !honor_timestamps) {
        entry.round = this.#round;
        entry.series.append(time, value);
      } else if (timestamp < time + TOO_FAR_AHEAD) entry.series.append(timestamp, value);
    }
    return lines.length;
  }

  #entry(series: string): Entry {
    let entry = this.#cache.get(series);
    if (!entry) {
      // A slice would keep the whole page in memory for as long as the series lives.
      const own = Buffer.from(series).toString();
      entry = { series: undefined, labels: this.#labels(parseSeries(own)), round: 0 };
      this.#cache.set(own, entry);
    }
    return entry;
  }

  /** The target's labels onto the scraped ones; a clash moves the loser to `exported_…`, or keeps it if honoured. */
  #labels(scraped: Labels): Labels | undefined {
    const labels = new Map(entriesOf(scraped));
    for (const [name, value] of this.#targetLabels) {
      const own = labels.get(name);
      if (own !== undefined) {
        if (this.target.config.honor_labels) continue;
        let moved = `exported_${name}`;
        while (labels.has(moved) || this.#targetLabels.has(moved)) moved = `exported_${moved}`;
        labels.set(moved, own);
      }
      labels.set(name, value);
    }
    const result = this.#rules.length > 0 ? relabel(labels, this.#rules) : labels;
    return result?.has(NAME) ? labelsOf(result) : undefined;
  }

  /** Ends the series that the round before had and this one has not. Forgets those long gone. */
  #markStale(time: number): void {
    for (const [key, entry] of this.#cache) {
      if (entry.round === this.#round) continue;
      if (entry.round !== 0 && entry.round === this.#round - 1) {
        if (entry.series?.alive) entry.series.append(time, Number.NaN, true);
        this.#cache.delete(key);
      } else if (!entry.series?.alive) this.#cache.delete(key);
    }
  }

  #report(name: string, time: number, value: number, stale = false): void {
    this.#store.append(labelsOf([[NAME, name], ...this.#targetLabels]), time, value, stale);
  }
}
