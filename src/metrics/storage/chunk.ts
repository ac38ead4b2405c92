/**
 * Samples of one series, compressed, byte-aligned. Each sample is one control byte and what it announces:
 *
 *   bits 0-1  time: the change of the interval (ms) is 0 | int8 | int16 | float64 (absolute time)
 *   bits 2-4  value: unchanged | integer step int8 | int16 | int32 | xor | raw float64 | stale
 *
 * Counters and gauges of a proxy are mostly whole numbers that stand still or move by little, and scrapes are regular,
 * so a sample takes 1 to 3 bytes; Gorilla's bit stream spends more on whole numbers (a xor of two counters is rarely
 * short) and, bit by bit, much more time in JavaScript. test/bench/metrics-store.ts measures both sides.
 */
const TIME_SAME = 0;
const TIME_INT8 = 1;
const TIME_INT16 = 2;
const TIME_ABSOLUTE = 3;
const VALUE_SAME = 0;
const VALUE_INT8 = 1;
const VALUE_INT16 = 2;
const VALUE_INT32 = 3;
const VALUE_XOR = 4;
const VALUE_RAW = 5;
const VALUE_STALE = 6;

/** The longest encoding of one sample: control, absolute time, raw value. */
const MAX_SAMPLE = 17;
const scratch = new DataView(new ArrayBuffer(16));

/** Where decoded samples go. `stale` marks the end of a series; its value then is NaN. */
export type SampleSink = (time: number, value: number, stale: boolean) => void;

export class Chunk {
  #bytes: Uint8Array;
  #view: DataView;
  #length = 0;
  #interval = 0;
  #value = 0;
  #sealed = false;
  count = 0;
  /** Times of the first and the last sample, ms since the epoch. */
  first = 0;
  last = 0;

  constructor(capacity = 64) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  get byteLength(): number {
    return this.#bytes.length;
  }

  /** Adds a sample; times must grow. */
  append(time: number, value: number, stale = false): void {
    if (this.#sealed) throw new Error('the chunk is sealed');
    if (this.#length + MAX_SAMPLE > this.#bytes.length) this.#resize(this.#bytes.length * 2);
    const control = this.#length;
    this.#length += 1;
    const head = this.#appendTime(time) | (this.#appendValue(value, stale) << 2);
    this.#bytes[control] = head;
    this.count += 1;
  }

  #appendTime(time: number): number {
    const interval = time - this.last;
    const change = interval - this.#interval;
    const first = this.count === 0;
    if (first) this.first = time;
    this.last = time;
    this.#interval = first ? 0 : interval;
    if (!first && change === 0) return TIME_SAME;
    if (!first && change >= -128 && change <= 127) {
      this.#view.setInt8(this.#length, change);
      this.#length += 1;
      return TIME_INT8;
    }
    if (!first && change >= -32768 && change <= 32767) {
      this.#view.setInt16(this.#length, change);
      this.#length += 2;
      return TIME_INT16;
    }
    this.#view.setFloat64(this.#length, time);
    this.#length += 8;
    return TIME_ABSOLUTE;
  }

  #appendValue(value: number, stale: boolean): number {
    if (stale) return VALUE_STALE;
    const previous = this.#value;
    this.#value = value;
    if (Object.is(value, previous)) return VALUE_SAME;
    if (Number.isSafeInteger(value) && Number.isSafeInteger(previous) && !Object.is(value, -0)) {
      const step = value - previous;
      if (step >= -128 && step <= 127) {
        this.#view.setInt8(this.#length, step);
        this.#length += 1;
        return VALUE_INT8;
      }
      if (step >= -32768 && step <= 32767) {
        this.#view.setInt16(this.#length, step);
        this.#length += 2;
        return VALUE_INT16;
      }
      if (step >= -2147483648 && step <= 2147483647) {
        this.#view.setInt32(this.#length, step);
        this.#length += 4;
        return VALUE_INT32;
      }
    }
    return this.#appendXor(value, previous);
  }

  /** The bytes in which the two floats differ: a byte with skip and length, then those bytes. */
  #appendXor(value: number, previous: number): number {
    scratch.setFloat64(0, previous);
    scratch.setFloat64(8, value);
    let skip = 0;
    while (skip < 8 && scratch.getUint8(skip) === scratch.getUint8(8 + skip)) skip += 1;
    let end = 8;
    while (end > skip && scratch.getUint8(end - 1) === scratch.getUint8(7 + end)) end -= 1;
    if (end - skip >= 7 || end === skip) {
      this.#view.setFloat64(this.#length, value);
      this.#length += 8;
      return VALUE_RAW;
    }
    this.#bytes[this.#length] = (skip << 4) | (end - skip);
    this.#length += 1;
    for (let index = skip; index < end; index += 1) {
      this.#bytes[this.#length] = scratch.getUint8(8 + index);
      this.#length += 1;
    }
    return VALUE_XOR;
  }

  /** Gives back unused memory; no more samples. */
  seal(): void {
    this.#resize(this.#length);
    this.#sealed = true;
  }

  decode(sink: SampleSink): void {
    const view = this.#view;
    let at = 0;
    let time = 0;
    let interval = 0;
    let value = 0;
    for (let index = 0; index < this.count; index += 1) {
      const head = view.getUint8(at);
      at += 1;
      switch (head & 3) {
        case TIME_SAME:
          time += interval;
          break;
        case TIME_INT8:
          interval += view.getInt8(at);
          at += 1;
          time += interval;
          break;
        case TIME_INT16:
          interval += view.getInt16(at);
          at += 2;
          time += interval;
          break;
        default: {
          const absolute = view.getFloat64(at);
          interval = index === 0 ? 0 : absolute - time;
          time = absolute;
          at += 8;
        }
      }
      const kind = head >> 2;
      if (kind === VALUE_STALE) {
        sink(time, Number.NaN, true);
        continue;
      }
      switch (kind) {
        case VALUE_SAME:
          break;
        case VALUE_INT8:
          value += view.getInt8(at);
          at += 1;
          break;
        case VALUE_INT16:
          value += view.getInt16(at);
          at += 2;
          break;
        case VALUE_INT32:
          value += view.getInt32(at);
          at += 4;
          break;
        case VALUE_XOR: {
          const layout = view.getUint8(at);
          const skip = layout >> 4;
          const length = layout & 15;
          scratch.setFloat64(0, value);
          for (let byte = 0; byte < length; byte += 1)
            scratch.setUint8(skip + byte, view.getUint8(at + 1 + byte));
          value = scratch.getFloat64(0);
          at += 1 + length;
          break;
        }
        default:
          value = view.getFloat64(at);
          at += 8;
      }
      sink(time, value, false);
    }
  }

  #resize(capacity: number): void {
    const bytes = new Uint8Array(capacity);
    bytes.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }
}
