import type { Matcher } from '../matcher.ts';

export type ValueType = 'scalar' | 'vector' | 'matrix' | 'string';

interface At {
  /** Where in the query the expression begins. */
  position: number;
}

/** `offset` and `@`; milliseconds. */
export interface Shift {
  offset: number;
  at: number | 'start' | 'end' | undefined;
}

export interface VectorSelector extends At, Shift {
  type: 'vector-selector';
  name: string | undefined;
  matchers: Matcher[];
}

export interface MatrixSelector extends At {
  type: 'matrix-selector';
  selector: VectorSelector;
  range: number;
}

export interface Subquery extends At, Shift {
  type: 'subquery';
  expression: Expression;
  range: number;
  /** undefined: the default evaluation interval. */
  step: number | undefined;
}

export interface Call extends At {
  type: 'call';
  name: string;
  args: Expression[];
}

export type AggregateOperator =
  | 'sum'
  | 'avg'
  | 'min'
  | 'max'
  | 'count'
  | 'group'
  | 'stddev'
  | 'stdvar'
  | 'topk'
  | 'bottomk'
  | 'quantile'
  | 'count_values';

export interface Aggregate extends At {
  type: 'aggregate';
  operator: AggregateOperator;
  parameter: Expression | undefined;
  expression: Expression;
  grouping: string[];
  without: boolean;
}

export type BinaryOperator =
  | '+'
  | '-'
  | '*'
  | '/'
  | '%'
  | '^'
  | 'atan2'
  | '=='
  | '!='
  | '>'
  | '<'
  | '>='
  | '<='
  | 'and'
  | 'or'
  | 'unless';

export interface Matching {
  on: boolean;
  labels: string[];
  /** many-to-one: the left side is the many (group_left). */
  group: 'left' | 'right' | undefined;
  include: string[];
}

export interface Binary extends At {
  type: 'binary';
  operator: BinaryOperator;
  left: Expression;
  right: Expression;
  bool: boolean;
  matching: Matching;
}

export interface Unary extends At {
  type: 'unary';
  operator: '+' | '-';
  expression: Expression;
}

export interface Paren extends At {
  type: 'paren';
  expression: Expression;
}

export interface NumberLiteral extends At {
  type: 'number';
  value: number;
}

export interface StringLiteral extends At {
  type: 'string';
  value: string;
}

export type Expression =
  | VectorSelector
  | MatrixSelector
  | Subquery
  | Call
  | Aggregate
  | Binary
  | Unary
  | Paren
  | NumberLiteral
  | StringLiteral;

export const COMPARISONS: ReadonlySet<BinaryOperator> = new Set(['==', '!=', '>', '<', '>=', '<=']);
export const SET_OPERATORS: ReadonlySet<BinaryOperator> = new Set(['and', 'or', 'unless']);

/** The expression inside any number of parentheses. */
export function unwrap(expression: Expression): Expression {
  return expression.type === 'paren' ? unwrap(expression.expression) : expression;
}
