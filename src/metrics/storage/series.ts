import type { Labels } from '../labels.ts';
import { Chunk } from './chunk.ts';

/** Samples of a stretch of time: parallel arrays; `stale[i]` is 1 where the series ended. */
export interface SeriesData {
  labels: Labels;
  times: Float64Array;
  values: Float64Array;
  /** Absent when nothing in the stretch is stale. */
  stale: Uint8Array | undefined;
}

/** Long chunks compress better, short ones decode and expire sooner. */
const SAMPLES_PER_CHUNK = 240;

export class MemorySeries {
  readonly labels: Labels;
  /** False once the store has dropped it: whoever holds a reference must look it up again. */
  alive = true;
  #chunks: Chunk[] = [];
  #lastValue = Number.NaN;
  #lastStale = false;

  constructor(labels: Labels) {
    this.labels = labels;
  }

  get firstTime(): number {
    return this.#chunks[0]?.first ?? Number.POSITIVE_INFINITY;
  }

  get lastTime(): number {
    return this.#chunks.at(-1)?.last ?? Number.NEGATIVE_INFINITY;
  }

  /** Bytes of samples, without the labels. */
  get byteLength(): number {
    let total = 0;
    for (const chunk of this.#chunks) total += chunk.byteLength;
    return total;
  }

  get count(): number {
    let total = 0;
    for (const chunk of this.#chunks) total += chunk.count;
    return total;
  }

  /** False when the sample is older than the last one, or another value at its time: both are dropped. */
  append(time: number, value: number, stale = false): boolean {
    const last = this.lastTime;
    if (time === last) return stale === this.#lastStale && (stale || Object.is(value, this.#lastValue));
    if (time < last) return false;
    let chunk = this.#chunks.at(-1);
    if (!chunk || chunk.count >= SAMPLES_PER_CHUNK) {
      chunk?.seal();
      chunk = new Chunk();
      this.#chunks.push(chunk);
    }
    chunk.append(time, value, stale);
    this.#lastValue = value;
    this.#lastStale = stale;
    return true;
  }

  /** Samples with from <= time <= to. */
  read(from: number, to: number): SeriesData {
    let size = 0;
    const chunks = this.#chunks.filter((chunk) => chunk.last >= from && chunk.first <= to);
    for (const chunk of chunks) size += chunk.count;
    const times = new Float64Array(size);
    const values = new Float64Array(size);
    let stale: Uint8Array | undefined;
    let length = 0;
    for (const chunk of chunks) {
      chunk.decode((time, value, isStale) => {
        if (time < from || time > to) return;
        times[length] = time;
        values[length] = value;
        if (isStale) {
          stale ??= new Uint8Array(size);
          stale[length] = 1;
        }
        length += 1;
      });
    }
    return {
      labels: this.labels,
      times: times.subarray(0, length),
      values: values.subarray(0, length),
      stale: stale?.subarray(0, length),
    };
  }

  /** Drops whole chunks that end before a time. */
  truncate(before: number): void {
    let drop = 0;
    while (drop < this.#chunks.length && this.#chunks[drop]!.last < before) drop += 1;
    if (drop > 0) this.#chunks.splice(0, drop);
  }
}
