import { KahanSum, quantile, type RangeSeries } from './values.ts';

/** Where a range lies: ms. */
export interface Window {
  start: number;
  end: number;
}

/** A number from the samples of a range (at least one), or undefined for no answer. */
export type RangeFunction = (
  series: RangeSeries,
  window: Window,
  scalar: number,
  evaluatedAt: number,
) => number | undefined;

/**
 * prometheus/promql/functions.go, extrapolatedRate (2.42): the increase seen, stretched to the edges of the window
 * where samples lie close to them, half an interval otherwise, and for counters never below zero.
 */
function extrapolated(isCounter: boolean, isRate: boolean): RangeFunction {
  return ({ times, values }, window) => {
    const count = times.length;
    if (count < 2) return undefined;
    const first = values[0]!;
    let result = values[count - 1]! - first;
    if (isCounter) {
      let previous = 0;
      for (const value of values) {
        if (value < previous) result += previous;
        previous = value;
      }
    }
    let toStart = (times[0]! - window.start) / 1000;
    const toEnd = (window.end - times[count - 1]!) / 1000;
    const sampled = (times[count - 1]! - times[0]!) / 1000;
    const average = sampled / (count - 1);
    if (isCounter && result > 0 && first >= 0) {
      const toZero = sampled * (first / result);
      if (toZero < toStart) toStart = toZero;
    }
    const threshold = average * 1.1;
    let interval = sampled;
    interval += toStart < threshold ? toStart : average / 2;
    interval += toEnd < threshold ? toEnd : average / 2;
    let factor = interval / sampled;
    if (isRate) factor /= (window.end - window.start) / 1000;
    return result * factor;
  };
}

function instant(isRate: boolean): RangeFunction {
  return ({ times, values }) => {
    const last = values.length - 1;
    if (last < 1) return undefined;
    const interval = times[last]! - times[last - 1]!;
    if (interval === 0) return undefined;
    const reset = isRate && values[last]! < values[last - 1]!;
    const change = reset ? values[last]! : values[last]! - values[last - 1]!;
    return isRate ? change / (interval / 1000) : change;
  };
}

function regression({ times, values }: RangeSeries, intercept: number): { slope: number; intercept: number } {
  const sumX = new KahanSum();
  const sumY = new KahanSum();
  const sumXY = new KahanSum();
  const sumX2 = new KahanSum();
  const count = times.length;
  const constant = values.every((value) => value === values[0]);
  if (constant) {
    return Number.isFinite(values[0]!)
      ? { slope: 0, intercept: values[0]! }
      : { slope: Number.NaN, intercept: Number.NaN };
  }
  for (let index = 0; index < count; index += 1) {
    const x = (times[index]! - intercept) / 1000;
    const y = values[index]!;
    sumX.add(x);
    sumY.add(y);
    sumXY.add(x * y);
    sumX2.add(x * x);
  }
  const covariance = sumXY.value - (sumX.value * sumY.value) / count;
  const variance = sumX2.value - (sumX.value * sumX.value) / count;
  const slope = covariance / variance;
  return { slope, intercept: sumY.value / count - (slope * sumX.value) / count };
}

function average(values: Float64Array): number {
  const mean = new KahanSum();
  let count = 0;
  for (const value of values) {
    count += 1;
    if (Number.isFinite(mean.sum) || Number.isNaN(mean.sum)) {
      mean.add(value / count - mean.sum / count);
    } else if (value === -mean.sum || Number.isNaN(value)) {
      mean.add(value / count - mean.sum / count);
    }
  }
  return mean.value;
}

function variance(values: Float64Array): number {
  const mean = new KahanSum();
  const squares = new KahanSum();
  let count = 0;
  for (const value of values) {
    count += 1;
    const delta = value - (mean.sum + mean.compensation);
    mean.add(delta / count);
    squares.add(delta * (value - (mean.sum + mean.compensation)));
  }
  return (squares.sum + squares.compensation) / count;
}

function extreme(better: (a: number, b: number) => boolean): RangeFunction {
  return ({ values }) => {
    let best = values[0]!;
    for (const value of values) if (better(value, best) || Number.isNaN(best)) best = value;
    return best;
  };
}

function transitions(counts: (current: number, previous: number) => boolean): RangeFunction {
  return ({ values }) => {
    let total = 0;
    for (let index = 1; index < values.length; index += 1)
      if (counts(values[index]!, values[index - 1]!)) total += 1;
    return total;
  };
}

/** Functions over a range, by name; all but last_over_time drop the metric's name. */
export const RANGE_FUNCTIONS: ReadonlyMap<string, RangeFunction> = new Map<string, RangeFunction>([
  ['rate', extrapolated(true, true)],
  ['increase', extrapolated(true, false)],
  ['delta', extrapolated(false, false)],
  ['irate', instant(true)],
  ['idelta', instant(false)],
  ['deriv', (series) => (series.times.length < 2 ? undefined : regression(series, series.times[0]!).slope)],
  [
    'predict_linear',
    (series, _window, seconds, evaluatedAt) => {
      if (series.times.length < 2) return undefined;
      const { slope, intercept } = regression(series, evaluatedAt);
      return slope * seconds + intercept;
    },
  ],
  ['avg_over_time', ({ values }) => average(values)],
  [
    'sum_over_time',
    ({ values }) => {
      const sum = new KahanSum();
      for (const value of values) sum.add(value);
      return sum.value;
    },
  ],
  ['min_over_time', extreme((a, b) => a < b)],
  ['max_over_time', extreme((a, b) => a > b)],
  ['count_over_time', ({ values }) => values.length],
  ['last_over_time', ({ values }) => values.at(-1)],
  ['present_over_time', () => 1],
  ['stddev_over_time', ({ values }) => Math.sqrt(variance(values))],
  ['stdvar_over_time', ({ values }) => variance(values)],
  ['quantile_over_time', ({ values }, _window, q) => quantile(q, [...values])],
  [
    'changes',
    transitions((value, previous) => value !== previous && !(Number.isNaN(value) && Number.isNaN(previous))),
  ],
  ['resets', transitions((value, previous) => value < previous)],
]);
