import { parser } from '@prometheus-io/lezer-promql';
import { NAME } from '../labels.ts';
import { createMatcher, type Matcher, type MatchOperator } from '../matcher.ts';
import type {
  AggregateOperator,
  BinaryOperator,
  Expression,
  Matching,
  Shift,
  VectorSelector,
} from './ast.ts';
import { check, typeOf } from './check.ts';
import { parseError, unsupported } from './errors.ts';
import { promDuration, promNumber, unquote } from './literals.ts';

type Tree = ReturnType<typeof parser.parse>;
type SyntaxNode = Tree['topNode'];

/** The deepest nesting answered: beyond it a query is an attack on the stack, not a question. */
const MAX_DEPTH = 200;
const MAX_LENGTH = 100_000;

/** A checked tree of a query. Throws QueryError, never anything else, whatever the text. */
export function parseQuery(query: string): Expression {
  if (query.trim() === '') throw parseError(query, 0, 'no expression found in input');
  if (query.length > MAX_LENGTH) throw parseError(query, 0, 'the query is too long');
  const tree: Tree = parser.parse(query);
  refuseErrors(query, tree);
  const expression = new Builder(query).build(tree.topNode.firstChild, 0);
  check(query, expression);
  return expression;
}

/** The matchers of a `match[]` argument. */
export function parseSelector(text: string): Matcher[] {
  const expression = parseQuery(text);
  if (expression.type !== 'vector-selector') throw parseError(text, 0, 'expected a series selector');
  return expression.matchers;
}

function refuseErrors(query: string, tree: Tree): void {
  let at: { from: number; to: number } | undefined;
  let depth = 0;
  let deepest = 0;
  tree.iterate({
    enter(node) {
      depth += 1;
      deepest = Math.max(deepest, depth);
      if (node.type.isError && (!at || node.from < at.from)) at = { from: node.from, to: node.to };
    },
    leave() {
      depth -= 1;
    },
  });
  if (at) {
    const word = /^\s*(\w+|\S)?/.exec(query.slice(at.from))?.[1];
    const from = at.from + (query.slice(at.from).length - query.slice(at.from).trimStart().length);
    const called = word === '(' ? /([a-zA-Z_]\w*)\s*$/.exec(query.slice(0, from))?.[1] : undefined;
    if (called) throw unsupported(query, from - called.length, `function "${called}"`);
    throw parseError(query, from, word ? `unexpected "${word}"` : 'unexpected end of input');
  }
  if (deepest > MAX_DEPTH * 4) throw parseError(query, 0, 'the query is nested too deeply');
}

class Builder {
  readonly #query: string;

  constructor(query: string) {
    this.#query = query;
  }

  build(node: SyntaxNode | null, depth: number): Expression {
    if (!node) throw parseError(this.#query, this.#query.length, 'unexpected end of input');
    if (depth > MAX_DEPTH) throw parseError(this.#query, node.from, 'the query is nested too deeply');
    const position = node.from;
    switch (node.name) {
      case 'NumberDurationLiteral': {
        const text = this.#text(node).replace(/\s/g, '');
        const value = promNumber(text);
        if (value !== undefined && Math.abs(value) === Number.POSITIVE_INFINITY && !/inf/i.test(text))
          throw parseError(this.#query, position, `error parsing number: "${text}" is out of range`);
        if (value === undefined)
          throw parseError(this.#query, position, `"${this.#text(node)}" is not a number`);
        return { type: 'number', position, value };
      }
      case 'StringLiteral':
        return { type: 'string', position, value: this.#string(node) };
      case 'ParenExpr':
        return { type: 'paren', position, expression: this.build(node.firstChild, depth + 1) };
      case 'UnaryExpr':
        return {
          type: 'unary',
          position,
          operator: this.#text(node.firstChild!) as '+' | '-',
          expression: this.build(node.lastChild, depth + 1),
        };
      case 'VectorSelector':
        return this.#selector(node);
      case 'MatrixSelector': {
        const selector = this.build(node.firstChild, depth + 1);
        if (selector.type !== 'vector-selector')
          throw parseError(this.#query, position, 'ranges only allowed for vector selectors');
        return { type: 'matrix-selector', position, selector, range: this.#duration(node.lastChild!) };
      }
      case 'SubqueryExpr': {
        const [range, step] = node.getChildren('DurationExpr');
        return {
          type: 'subquery',
          position,
          expression: this.build(node.firstChild, depth + 1),
          range: this.#duration(range!),
          step: step ? this.#duration(step) : undefined,
          offset: 0,
          at: undefined,
        };
      }
      case 'OffsetExpr': {
        const inner = this.build(node.firstChild, depth + 1);
        const shift = this.#shiftOf(inner, node, 'offset');
        if (shift.offset !== 0)
          throw parseError(this.#query, position, 'offset may not be set multiple times');
        shift.offset = this.#offset(node.lastChild!);
        return inner;
      }
      case 'StepInvariantExpr': {
        const inner = this.build(node.firstChild, depth + 1);
        const shift = this.#shiftOf(inner, node, '@');
        if (shift.at !== undefined)
          throw parseError(this.#query, position, '@ <timestamp> may not be set multiple times');
        shift.at = this.#at(node);
        return inner;
      }
      case 'FunctionCall': {
        const body = node.getChild('FunctionCallBody');
        return {
          type: 'call',
          position,
          name: this.#text(node.firstChild!),
          args: children(body).map((child) => this.build(child, depth + 1)),
        };
      }
      case 'AggregateExpr':
        return this.#aggregate(node, depth);
      case 'BinaryExpr':
        return this.#binary(node, depth);
      default:
        throw unsupported(this.#query, position, `syntax "${this.#text(node)}"`);
    }
  }

  #aggregate(node: SyntaxNode, depth: number): Expression {
    const operator = this.#text(node.firstChild!).toLowerCase();
    if (operator === 'limitk' || operator === 'limit_ratio')
      throw unsupported(this.#query, node.from, `aggregation "${operator}"`);
    const args = children(node.getChild('FunctionCallBody')).map((child) => this.build(child, depth + 1));
    const takes = ['topk', 'bottomk', 'quantile', 'count_values'].includes(operator) ? 2 : 1;
    if (args.length !== takes) {
      throw parseError(
        this.#query,
        node.from,
        `wrong number of arguments for aggregate expression provided, expected ${takes}, got ${args.length}`,
      );
    }
    const modifier = node.getChild('AggregateModifier');
    return {
      type: 'aggregate',
      position: node.from,
      operator: operator as AggregateOperator,
      parameter: takes === 2 ? args[0] : undefined,
      expression: args[takes - 1]!,
      grouping: this.#labels(modifier?.getChild('GroupingLabels')),
      without: modifier?.firstChild?.name === 'Without',
    };
  }

  #binary(node: SyntaxNode, depth: number): Expression {
    let operator: string | undefined;
    let bool = false;
    const matching: Matching = { on: false, labels: [], group: undefined, include: [] };
    const parts = children(node);
    for (const part of parts.slice(1, -1)) {
      if (part.name === 'BoolModifier') bool = true;
      else if (part.name === 'MatchingModifierClause') this.#matching(part, matching);
      else if (/Fill/.test(part.name)) throw unsupported(this.#query, part.from, '"fill" modifier');
      else operator = this.#text(part).toLowerCase();
    }
    if (operator === '</' || operator === '>/')
      throw unsupported(this.#query, node.from, `operator "${operator}"`);
    const left = this.build(parts[0]!, depth + 1);
    const binary = (operand: Expression): Expression => ({
      type: 'binary',
      position: node.from,
      operator: operator as BinaryOperator,
      left: operand,
      right: this.build(parts.at(-1)!, depth + 1),
      bool,
      matching,
    });
    // This grammar reads the sign of -1^2 into the number; Prometheus binds ^ tighter than the sign.
    const sign = operator === '^' && left.type === 'number' ? this.#text(parts[0]!)[0] : undefined;
    if (sign !== '-' && sign !== '+') return binary(left);
    const value = left.type === 'number' && sign === '-' ? -left.value : (left as { value: number }).value;
    const expression = binary({ type: 'number', position: left.position, value });
    return { type: 'unary', position: node.from, operator: sign, expression };
  }

  #matching(clause: SyntaxNode, matching: Matching): void {
    let grouped = false;
    for (const part of children(clause)) {
      if (part.name === 'On') matching.on = true;
      else if (part.name === 'GroupLeft' || part.name === 'GroupRight') {
        matching.group = part.name === 'GroupLeft' ? 'left' : 'right';
        grouped = true;
      } else if (part.name === 'GroupingLabels') {
        if (grouped) matching.include = this.#labels(part);
        else matching.labels = this.#labels(part);
      }
    }
  }

  #selector(node: SyntaxNode): VectorSelector {
    const identifier = node.getChild('Identifier') ?? node.getChild('MetricName');
    const name = identifier ? this.#text(identifier) : undefined;
    const matchers: Matcher[] = [];
    for (const part of children(node.getChild('LabelMatchers'))) {
      if (part.name === 'QuotedLabelName') throw unsupported(this.#query, part.from, 'quoted metric name');
      const quoted = part.getChild('QuotedLabelName');
      const label = quoted ? this.#string(quoted.firstChild!) : this.#text(part.getChild('LabelName')!);
      const operator = this.#text(part.getChild('MatchOp')!) as MatchOperator;
      const value = this.#string(part.lastChild!);
      if (name !== undefined && label === NAME)
        throw parseError(
          this.#query,
          part.from,
          `metric name must not be set twice: "${name}" or "${value}"`,
        );
      try {
        matchers.push(createMatcher(label, operator, value));
      } catch (thrown) {
        throw parseError(this.#query, part.from, (thrown as Error).message);
      }
    }
    if (name !== undefined) matchers.push(createMatcher(NAME, '=', name));
    else if (matchers.every((matcher) => matcher.matches('')))
      throw parseError(this.#query, node.from, 'vector selector must contain at least one non-empty matcher');
    return { type: 'vector-selector', position: node.from, name, matchers, offset: 0, at: undefined };
  }

  #shiftOf(expression: Expression, node: SyntaxNode, what: string): Shift {
    switch (expression.type) {
      case 'vector-selector':
      case 'subquery':
        return expression;
      case 'matrix-selector':
        return expression.selector;
      // A sign binds less tightly, though the grammar puts it inside.
      case 'unary':
        return this.#shiftOf(expression.expression, node, what);
      default:
        throw parseError(
          this.#query,
          node.from,
          `${what} modifier must be preceded by an instant vector selector or range vector selector or a subquery, got ${typeOf(expression)}`,
        );
    }
  }

  #at(node: SyntaxNode): number | 'start' | 'end' {
    const preprocessor = node.getChild('AtModifierPreprocessors');
    if (preprocessor) return /^start/i.test(this.#text(preprocessor)) ? 'start' : 'end';
    const text = this.#query.slice(node.getChild('At')!.to, node.to).replace(/\s/g, '');
    const seconds = promNumber(text);
    if (seconds === undefined || !Number.isFinite(seconds))
      throw parseError(this.#query, node.from, `timestamp out of bounds for @ modifier: ${text}`);
    return Math.round(seconds * 1000);
  }

  #offset(node: SyntaxNode): number {
    const text = this.#text(node).replace(/\s/g, '');
    const negative = text.startsWith('-');
    const value = promDuration(negative ? text.slice(1) : text);
    if (value === undefined) throw unsupported(this.#query, node.from, `offset "${text}"`);
    return negative ? -value : value;
  }

  #duration(node: SyntaxNode): number {
    const text = this.#text(node);
    const value = promDuration(text);
    if (value === undefined) throw unsupported(this.#query, node.from, `duration "${text}"`);
    if (value <= 0) throw parseError(this.#query, node.from, 'duration must be greater than 0');
    return value;
  }

  #labels(node: SyntaxNode | null | undefined): string[] {
    return children(node).map((child) =>
      child.name === 'QuotedLabelName' ? this.#string(child.firstChild!) : this.#text(child),
    );
  }

  #string(node: SyntaxNode): string {
    return unquote(this.#query, this.#text(node), node.from);
  }

  #text(node: SyntaxNode): string {
    return this.#query.slice(node.from, node.to);
  }
}

function children(node: SyntaxNode | null | undefined): SyntaxNode[] {
  const result: SyntaxNode[] = [];
  for (let child = node?.firstChild ?? null; child; child = child.nextSibling) {
    if (child.name !== 'LineComment') result.push(child);
  }
  return result;
}
