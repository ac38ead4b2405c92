/**
 * A label set: names and values in turn, sorted by name, without empty values. Flat arrays are half the size of an
 * array of pairs, and a join is a key.
 */
export type Labels = readonly string[];

export const NAME = '__name__';

export function labelsOf(entries: Iterable<readonly [string, string]> | Record<string, string>): Labels {
  const map = new Map(
    Symbol.iterator in entries
      ? (entries as Iterable<readonly [string, string]>)
      : Object.entries(entries as Record<string, string>),
  );
  const names = [...map.keys()].filter((name) => map.get(name) !== '').sort();
  return names.flatMap((name) => [name, map.get(name)!]);
}

/** The text that is equal exactly when the label sets are. Values cannot contain the separator: UTF-8 text has no FF. */
export function keyOf(labels: Labels): string {
  return labels.join('\u{10FFFF}');
}

/** The value of a label, empty when there is none. */
export function labelOf(labels: Labels, name: string): string {
  for (let index = 0; index < labels.length; index += 2)
    if (labels[index] === name) return labels[index + 1]!;
  return '';
}

export function withoutLabels(labels: Labels, names: ReadonlySet<string>): Labels {
  const kept: string[] = [];
  for (let index = 0; index < labels.length; index += 2)
    if (!names.has(labels[index]!)) kept.push(labels[index]!, labels[index + 1]!);
  return kept;
}

export function onlyLabels(labels: Labels, names: ReadonlySet<string>): Labels {
  const kept: string[] = [];
  for (let index = 0; index < labels.length; index += 2)
    if (names.has(labels[index]!)) kept.push(labels[index]!, labels[index + 1]!);
  return kept;
}

const JUST_NAME: ReadonlySet<string> = new Set([NAME]);
const nameless = new WeakMap<Labels, Labels>();

/** The labels without the metric's name; the same array for the same input, so that later steps can cache by it. */
export function withoutName(labels: Labels): Labels {
  if (labels[0] !== NAME && labelOf(labels, NAME) === '') return labels;
  let result = nameless.get(labels);
  if (!result) {
    result = withoutLabels(labels, JUST_NAME);
    nameless.set(labels, result);
  }
  return result;
}

/** The labels with one value set, or removed when it is empty. */
export function withLabel(labels: Labels, name: string, value: string): Labels {
  return labelsOf([...entriesOf(labels), [name, value]]);
}

export function* entriesOf(labels: Labels): Iterable<[string, string]> {
  for (let index = 0; index < labels.length; index += 2) yield [labels[index]!, labels[index + 1]!];
}

/** As JSON answers carry them. */
export function toRecord(labels: Labels): Record<string, string> {
  return Object.fromEntries(entriesOf(labels));
}

/** As people write them: `up{job="a"}`. */
export function formatLabels(labels: Labels): string {
  const name = labelOf(labels, NAME);
  const rest = [...entriesOf(labels)].filter(([key]) => key !== NAME);
  const body = rest.map(([key, value]) => `${key}=${JSON.stringify(value)}`).join(', ');
  return name !== '' && body === '' ? name : `${name}{${body}}`;
}

/** Order of results: by name and value, label by label. */
export function compareLabels(a: Labels, b: Labels): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index += 1) {
    if (a[index]! < b[index]!) return -1;
    if (a[index]! > b[index]!) return 1;
  }
  return a.length - b.length;
}
