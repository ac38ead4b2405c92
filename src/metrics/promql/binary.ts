import {
  formatLabels,
  keyOf,
  type Labels,
  labelOf,
  NAME,
  onlyLabels,
  withLabel,
  withoutLabels,
  withoutName,
} from '../labels.ts';
import { type Binary, type BinaryOperator, COMPARISONS } from './ast.ts';
import { QueryError } from './errors.ts';
import { refuseDuplicates, type Sample } from './values.ts';

/** Arithmetic gives a number; a comparison gives the left value when it holds, undefined when it does not. */
export function apply(operator: BinaryOperator, left: number, right: number): number | undefined {
  switch (operator) {
    case '+':
      return left + right;
    case '-':
      return left - right;
    case '*':
      return left * right;
    case '/':
      return left / right;
    case '%':
      return left % right;
    case '^':
      return power(left, right);
    case 'atan2':
      return Math.atan2(left, right);
    case '==':
      return left === right ? left : undefined;
    case '!=':
      return left !== right ? left : undefined;
    case '>':
      return left > right ? left : undefined;
    case '<':
      return left < right ? left : undefined;
    case '>=':
      return left >= right ? left : undefined;
    case '<=':
      return left <= right ? left : undefined;
    default:
      throw new QueryError('execution', `operator "${operator}" does not compute numbers`);
  }
}

/** IEEE 754's pow, as Go has it; JavaScript's differs for a base of 1 and -1. */
function power(base: number, exponent: number): number {
  if (base === 1) return 1;
  if (base === -1 && Math.abs(exponent) === Number.POSITIVE_INFINITY) return 1;
  return base ** exponent;
}

/** Arithmetic takes the name away: the number no longer is that metric. Not so atan2, in Prometheus 2. */
function computed(operator: BinaryOperator, labels: Labels): Labels {
  return operator === 'atan2' ? labels : withoutName(labels);
}

export function scalarBinary(node: Binary, left: number, right: number): number {
  const value = apply(node.operator, left, right);
  return COMPARISONS.has(node.operator) ? (value === undefined ? 0 : 1) : value!;
}

/** A vector and a scalar, on the side that `scalarLeft` says. A comparison keeps the vector's value. */
export function vectorScalar(node: Binary, vector: Sample[], scalar: number, scalarLeft: boolean): Sample[] {
  const comparison = COMPARISONS.has(node.operator);
  const result: Sample[] = [];
  for (const sample of vector) {
    const value = scalarLeft
      ? apply(node.operator, scalar, sample.value)
      : apply(node.operator, sample.value, scalar);
    if (!comparison) result.push({ labels: computed(node.operator, sample.labels), value: value! });
    else if (node.bool)
      result.push({ labels: withoutName(sample.labels), value: value === undefined ? 0 : 1 });
    else if (value !== undefined) result.push({ labels: sample.labels, value: sample.value });
  }
  return comparison && !node.bool ? result : refuseDuplicates(result);
}

/** Vector with vector: finds partners by the matching clause. One per query and node; caches signatures. */
export class VectorMatcher {
  readonly #node: Binary;
  readonly #names: ReadonlySet<string>;
  readonly #signatures = new WeakMap<Labels, string>();

  constructor(node: Binary) {
    this.#node = node;
    const { on, labels } = node.matching;
    this.#names = new Set(on ? labels : [...labels, NAME]);
  }

  #signature(labels: Labels): string {
    let key = this.#signatures.get(labels);
    if (key === undefined) {
      key = keyOf(this.#matched(labels));
      this.#signatures.set(labels, key);
    }
    return key;
  }

  #matched(labels: Labels): Labels {
    return this.#node.matching.on ? onlyLabels(labels, this.#names) : withoutLabels(labels, this.#names);
  }

  evaluate(left: Sample[], right: Sample[]): Sample[] {
    switch (this.#node.operator) {
      case 'and':
      case 'unless': {
        const keys = new Set(right.map((sample) => this.#signature(sample.labels)));
        const wanted = this.#node.operator === 'and';
        return left.filter((sample) => keys.has(this.#signature(sample.labels)) === wanted);
      }
      case 'or': {
        const keys = new Set(left.map((sample) => this.#signature(sample.labels)));
        return refuseDuplicates([
          ...left,
          ...right.filter((sample) => !keys.has(this.#signature(sample.labels))),
        ]);
      }
      default:
        return this.#compute(left, right);
    }
  }

  #compute(left: Sample[], right: Sample[]): Sample[] {
    // Nothing finds no partner, whatever the other side holds twice.
    if (left.length === 0 || right.length === 0) return [];
    const { operator, bool, matching } = this.#node;
    const swapped = matching.group === 'right';
    const [many, one] = swapped ? [right, left] : [left, right];
    const partners = new Map<string, Sample>();
    for (const sample of one) {
      const key = this.#signature(sample.labels);
      const other = partners.get(key);
      if (other) throw this.#duplicate(other, sample, swapped ? 'left' : 'right');
      partners.set(key, sample);
    }
    const comparison = COMPARISONS.has(operator);
    const result: Sample[] = [];
    const matched = new Map<string, Set<string>>();
    for (const sample of many) {
      const key = this.#signature(sample.labels);
      const partner = partners.get(key);
      if (!partner) continue;
      const [a, b] = swapped ? [partner.value, sample.value] : [sample.value, partner.value];
      let value = apply(operator, a, b);
      if (bool) value = value === undefined ? 0 : 1;
      if (value === undefined) continue;
      const labels = this.#resultLabels(
        sample.labels,
        partner.labels,
        (comparison && !bool) || operator === 'atan2',
      );
      const seen = matched.get(key);
      if (!seen) matched.set(key, new Set([keyOf(labels)]));
      else if (matching.group === undefined) {
        const message =
          'multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)';
        throw new QueryError('execution', message);
      } else if (seen.has(keyOf(labels))) {
        throw new QueryError(
          'execution',
          'multiple matches for labels: grouping labels must ensure unique matches',
        );
      } else seen.add(keyOf(labels));
      result.push({ labels, value });
    }
    return refuseDuplicates(result);
  }

  #resultLabels(many: Labels, one: Labels, keepName: boolean): Labels {
    const { matching } = this.#node;
    let labels = keepName ? many : withoutName(many);
    if (matching.group === undefined) {
      labels = matching.on
        ? onlyLabels(labels, this.#names)
        : withoutLabels(labels, new Set(matching.labels));
    }
    for (const name of matching.include) labels = withLabel(labels, name, labelOf(one, name));
    return labels;
  }

  #duplicate(first: Sample, second: Sample, side: string): QueryError {
    return new QueryError(
      'execution',
      `found duplicate series for the match group ${formatLabels(this.#matched(second.labels))} on the ${side} hand-side of the operation: [${formatLabels(second.labels)}, ${formatLabels(first.labels)}];many-to-many matching not allowed: matching labels must be unique on one side`,
    );
  }
}
