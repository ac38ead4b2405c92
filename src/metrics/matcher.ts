import { compileAnchored, literalAlternatives } from './regex.ts';

export type MatchOperator = '=' | '!=' | '=~' | '!~';

/** One condition on a label. A label that is not there has the empty value, as in Prometheus. */
export interface Matcher {
  name: string;
  operator: MatchOperator;
  value: string;
  matches(value: string): boolean;
  /** The only values that can match, when they are few and known. */
  values: readonly string[] | undefined;
}

/** Throws AppError BadRequest for an invalid regular expression. */
export function createMatcher(name: string, operator: MatchOperator, value: string): Matcher {
  switch (operator) {
    case '=':
      return { name, operator, value, matches: (other) => other === value, values: [value] };
    case '!=':
      return { name, operator, value, matches: (other) => other !== value, values: undefined };
    case '=~':
    case '!~': {
      const literals = literalAlternatives(value);
      let test: (other: string) => boolean;
      if (literals) {
        const set = new Set(literals);
        test = (other) => set.has(other);
      } else {
        const regex = compileAnchored(value);
        test = (other) => regex.test(other);
      }
      return operator === '=~'
        ? { name, operator, value, matches: test, values: literals }
        : { name, operator, value, matches: (other) => !test(other), values: undefined };
    }
  }
}
