import type { ValueType } from './ast.ts';

export interface Signature {
  args: ValueType[];
  /** How many of the last arguments may be left out; -1: the last may be repeated. */
  optional: number;
  returns: ValueType;
}

const signature = (args: ValueType[], optional = 0, returns: ValueType = 'vector'): Signature => ({
  args,
  optional,
  returns,
});

const each = (names: string, entry: Signature): [string, Signature][] =>
  names.split(' ').map((name) => [name, entry]);

/** The functions that are supported, with their types. Anything else is refused by name. */
export const SIGNATURES: ReadonlyMap<string, Signature> = new Map<string, Signature>([
  ...each(
    'abs absent acos acosh asin asinh atan atanh ceil cos cosh deg exp floor ln log10 log2 rad sgn sin sinh sort sort_desc sqrt tan tanh timestamp',
    signature(['vector']),
  ),
  ...each(
    'day_of_month day_of_week day_of_year days_in_month hour minute month year',
    signature(['vector'], 1),
  ),
  ...each(
    'absent_over_time avg_over_time changes count_over_time delta deriv idelta increase irate last_over_time max_over_time min_over_time present_over_time rate resets stddev_over_time stdvar_over_time sum_over_time',
    signature(['matrix']),
  ),
  ['quantile_over_time', signature(['scalar', 'matrix'])],
  ['predict_linear', signature(['matrix', 'scalar'])],
  ['histogram_quantile', signature(['scalar', 'vector'])],
  ['clamp', signature(['vector', 'scalar', 'scalar'])],
  ['clamp_max', signature(['vector', 'scalar'])],
  ['clamp_min', signature(['vector', 'scalar'])],
  ['round', signature(['vector', 'scalar'], 1)],
  ['label_replace', signature(['vector', 'string', 'string', 'string', 'string'])],
  ['label_join', signature(['vector', 'string', 'string', 'string'], -1)],
  ['scalar', signature(['vector'], 0, 'scalar')],
  ['vector', signature(['scalar'])],
  ['time', signature([], 0, 'scalar')],
  ['pi', signature([], 0, 'scalar')],
]);
