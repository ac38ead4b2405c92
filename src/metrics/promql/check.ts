import {
  type Binary,
  type Call,
  COMPARISONS,
  type Expression,
  SET_OPERATORS,
  unwrap,
  type ValueType,
} from './ast.ts';
import { parseError, unsupported } from './errors.ts';
import { SIGNATURES } from './signatures.ts';

const WORDS: Record<ValueType, string> = {
  scalar: 'scalar',
  vector: 'instant vector',
  matrix: 'range vector',
  string: 'string',
};

export function typeOf(expression: Expression): ValueType {
  switch (expression.type) {
    case 'number':
      return 'scalar';
    case 'string':
      return 'string';
    case 'paren':
    case 'unary':
      return typeOf(expression.expression);
    case 'vector-selector':
    case 'aggregate':
      return 'vector';
    case 'matrix-selector':
    case 'subquery':
      return 'matrix';
    case 'call':
      return SIGNATURES.get(expression.name)?.returns ?? 'vector';
    case 'binary':
      return typeOf(expression.left) === 'scalar' && typeOf(expression.right) === 'scalar'
        ? 'scalar'
        : 'vector';
  }
}

/** Types as Prometheus checks them; throws QueryError with the place. */
export function check(query: string, expression: Expression): void {
  const expect = (inner: Expression, type: ValueType, context: string) => {
    const got = typeOf(inner);
    if (got !== type)
      throw parseError(
        query,
        inner.position,
        `expected type ${WORDS[type]} in ${context}, got ${WORDS[got]}`,
      );
  };
  switch (expression.type) {
    case 'number':
    case 'string':
    case 'vector-selector':
    case 'matrix-selector':
      return;
    case 'paren':
      check(query, expression.expression);
      return;
    case 'unary': {
      check(query, expression.expression);
      const type = typeOf(expression.expression);
      if (type !== 'scalar' && type !== 'vector') {
        const message = `unary expression only allowed on expressions of type scalar or instant vector, got "${WORDS[type]}"`;
        throw parseError(query, expression.position, message);
      }
      return;
    }
    case 'subquery': {
      check(query, expression.expression);
      const type = typeOf(expression.expression);
      if (type !== 'vector') {
        const message = `subquery is only allowed on instant vector, got ${WORDS[type]} instead`;
        throw parseError(query, expression.position, message);
      }
      return;
    }
    case 'aggregate': {
      const { operator, parameter } = expression;
      if (parameter) {
        expect(parameter, operator === 'count_values' ? 'string' : 'scalar', 'aggregation parameter');
        check(query, parameter);
      }
      expect(expression.expression, 'vector', 'aggregation expression');
      check(query, expression.expression);
      return;
    }
    case 'call':
      checkCall(query, expression, expect);
      return;
    case 'binary':
      checkBinary(query, expression);
  }
}

function checkCall(
  query: string,
  call: Call,
  expect: (inner: Expression, type: ValueType, context: string) => void,
): void {
  const signature = SIGNATURES.get(call.name);
  if (!signature) throw unsupported(query, call.position, `function "${call.name}"`);
  const { args, optional } = signature;
  const least = args.length - Math.abs(optional);
  const most = optional < 0 ? Number.POSITIVE_INFINITY : args.length;
  if (call.args.length < least || call.args.length > most) {
    const bound = optional === 0 ? '' : call.args.length < least ? 'at least ' : 'at most ';
    const message = `expected ${bound}${call.args.length < least ? least : most} argument(s) in call to "${call.name}", got ${call.args.length}`;
    throw parseError(query, call.position, message);
  }
  for (const [index, arg] of call.args.entries()) {
    check(query, arg);
    expect(arg, args[Math.min(index, args.length - 1)]!, `call to function "${call.name}"`);
  }
}

function checkBinary(query: string, { left, right, operator, bool, matching, position }: Binary): void {
  check(query, left);
  check(query, right);
  const types = [typeOf(left), typeOf(right)];
  const comparison = COMPARISONS.has(operator);
  if (bool && !comparison)
    throw parseError(query, position, 'bool modifier can only be used on comparison operators');
  if (types.some((type) => type !== 'scalar' && type !== 'vector'))
    throw parseError(query, position, 'binary expression must contain only scalar and instant vector types');
  const scalars = types.filter((type) => type === 'scalar').length;
  if (comparison && !bool && scalars === 2)
    throw parseError(query, position, 'comparisons between scalars must use BOOL modifier');
  const matched = matching.on || matching.labels.length > 0 || matching.group !== undefined;
  if (matched && scalars > 0)
    throw parseError(query, position, 'vector matching only allowed between instant vectors');
  if (!SET_OPERATORS.has(operator)) {
    const clash = matching.on ? matching.include.find((label) => matching.labels.includes(label)) : undefined;
    if (clash !== undefined)
      throw parseError(query, position, `label "${clash}" must not occur in ON and GROUP clause at once`);
    return;
  }
  if (scalars > 0)
    throw parseError(query, position, `set operator "${operator}" not allowed in binary scalar expression`);
  if (matching.group !== undefined)
    throw parseError(query, position, `no grouping allowed for "${operator}" operation`);
}

/** The selector inside parentheses, or undefined. */
export function selectorOf(expression: Expression) {
  const inner = unwrap(expression);
  if (inner.type === 'vector-selector') return inner;
  return inner.type === 'matrix-selector' ? inner.selector : undefined;
}
