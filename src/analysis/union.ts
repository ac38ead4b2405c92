import type { QueryResult } from 'prometheus-query';
import { measurementOf } from './measurement.ts';
import type { Measurement } from './ports.ts';
import { quote } from './queries.ts';

/** Tells the parts of a union apart; no metric of anybody's carries it. */
const LABEL = 'weir_part';

/** Encoded, as it stands in a URL: with the rest of the request line it stays below the 8 KiB many servers take. */
const MOST_CHARACTERS = 6000;

export interface Union {
  /** What is asked. */
  union: string;
  /** The expressions in it, in the order of their label. */
  parts: string[];
}

/**
 * Expressions that each yield a vector of at most one element, as few queries that yield all of these elements. Most
 * of what a look costs, here and at the server, is a request and not what it asks for.
 */
export function united(expressions: readonly string[]): Union[] {
  const unions: Union[] = [];
  let room = 0;
  for (const expression of new Set(expressions)) {
    let last = unions.at(-1);
    const part = (index: number) => `label_replace(${expression},"${LABEL}",${quote(String(index))},"","")`;
    const size = encodeURIComponent(` or ${part(10)}`).length;
    if (!last || size > room) {
      last = { union: '', parts: [] };
      unions.push(last);
      room = MOST_CHARACTERS;
    }
    last.union += (last.parts.length === 0 ? '' : ' or ') + part(last.parts.length);
    last.parts.push(expression);
    room -= size;
  }
  // Alone it needs no label, and errors of the server point to where it stands.
  return unions.map(({ union, parts }) => ({ union: parts.length === 1 ? parts[0]! : union, parts }));
}

/** The answer to a union as one measurement for each of its parts, in their order. */
export function apart(parts: readonly string[], answer: QueryResult): Measurement[] {
  if (parts.length === 1) return [measurementOf(parts[0]!, answer)];
  const { resultType, result } = answer;
  const own = new Map<string, unknown[]>();
  if (resultType === 'vector') {
    for (const element of result) {
      const label = element.metric.labels[LABEL];
      own.set(label, [...(own.get(label) ?? []), element]);
    }
  }
  return parts.map((part, index) =>
    measurementOf(part, { resultType, result: own.get(String(index)) ?? [] } as QueryResult),
  );
}
