import { withoutName } from '../labels.ts';
import { type Call, unwrap } from './ast.ts';
import { selectorOf } from './check.ts';
import { QueryError } from './errors.ts';
import type { Evaluator } from './evaluator.ts';
import {
  absentLabels,
  DATE_FUNCTIONS,
  labelJoin,
  labelReplace,
  mapValues,
  sortByValue,
  VALUE_FUNCTIONS,
} from './functions.ts';
import { histogramQuantile } from './histogram.ts';
import { RANGE_FUNCTIONS } from './range-functions.ts';
import { refuseDuplicates, type Sample } from './values.ts';

/** Calls that give a scalar. */
export function callScalar(evaluator: Evaluator, call: Call, time: number): number {
  switch (call.name) {
    case 'time':
      return time / 1000;
    case 'pi':
      return Math.PI;
    case 'scalar': {
      const samples = evaluator.vector(call.args[0]!, time);
      return samples.length === 1 ? samples[0]!.value : Number.NaN;
    }
    default:
      throw new QueryError('execution', `function "${call.name}" is not a scalar`);
  }
}

/** Calls that give an instant vector. Argument types have been checked. */
export function callVector(evaluator: Evaluator, call: Call, time: number): Sample[] {
  const { name, args } = call;
  const scalar = (index: number, fallback: number) => {
    const arg = args[index];
    return arg ? evaluator.scalar(arg, time) : fallback;
  };
  if (RANGE_FUNCTIONS.has(name)) return overRange(evaluator, call, time);
  const dateFunction = DATE_FUNCTIONS.get(name);
  if (dateFunction) {
    return args[0]
      ? mapValues(evaluator.vector(args[0], time), dateFunction)
      : [{ labels: [], value: dateFunction(time / 1000) }];
  }
  switch (name) {
    case 'vector':
      return [{ labels: [], value: scalar(0, Number.NaN) }];
    case 'timestamp': {
      const samples = evaluator.vector(args[0]!, time);
      const plain = unwrap(args[0]!).type === 'vector-selector';
      return refuseDuplicates(
        samples.map((sample) => ({
          labels: withoutName(sample.labels),
          value: (plain ? sample.time! : time) / 1000,
        })),
      );
    }
    case 'absent':
      return evaluator.vector(args[0]!, time).length > 0
        ? []
        : [{ labels: absentLabels(selectorOf(args[0]!)), value: 1 }];
    case 'absent_over_time':
      return evaluator.matrix(args[0]!, time).series.length > 0
        ? []
        : [{ labels: absentLabels(selectorOf(args[0]!)), value: 1 }];
    case 'sort':
    case 'sort_desc':
      return sortByValue(evaluator.vector(args[0]!, time), name === 'sort_desc');
    case 'histogram_quantile':
      return refuseDuplicates(histogramQuantile(scalar(0, Number.NaN), evaluator.vector(args[1]!, time)));
    case 'label_replace': {
      const strings = args.slice(1).map((arg) => evaluator.string(arg)) as [string, string, string, string];
      return labelReplace(evaluator.vector(args[0]!, time), strings);
    }
    case 'label_join':
      return labelJoin(
        evaluator.vector(args[0]!, time),
        args.slice(1).map((arg) => evaluator.string(arg)),
      );
    default: {
      const change = VALUE_FUNCTIONS.get(name);
      if (!change) throw new QueryError('bad_data', `unsupported function "${name}"`);
      const a = scalar(1, 1);
      const b = scalar(2, Number.NaN);
      const samples = evaluator.vector(args[0]!, time);
      if (name === 'clamp' && b < a) return [];
      return mapValues(samples, (value) => change(value, a, b));
    }
  }
}

function overRange(evaluator: Evaluator, { name, args }: Call, time: number): Sample[] {
  const compute = RANGE_FUNCTIONS.get(name)!;
  const scalarFirst = name === 'quantile_over_time';
  const range = evaluator.matrix(args[scalarFirst ? 1 : 0]!, time);
  const scalarArg = args[scalarFirst ? 0 : 1];
  const scalar = scalarArg ? evaluator.scalar(scalarArg, time) : Number.NaN;
  const result: Sample[] = [];
  for (const series of range.series) {
    const value = compute(series, range, scalar, time);
    if (value === undefined) continue;
    result.push({ labels: name === 'last_over_time' ? series.labels : withoutName(series.labels), value });
  }
  return name === 'last_over_time' ? result : refuseDuplicates(result);
}
