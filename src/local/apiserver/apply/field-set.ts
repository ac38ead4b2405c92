import { canonicalJson } from '../../../lib/canonical.ts';
import { sameJson } from '../../../lib/same-json.ts';
import { isObject, type Json, type JsonObject } from '../json.ts';
import { fieldSchema, isAtomicMap, listKeys, type Schema } from '../schema/schema.ts';

/**
 * A set of field paths, shaped as `fieldsV1` is: `f:name` for fields, `k:{…}` for items of a keyed list, `v:…` for
 * members of a set. `member` means that the path itself is in the set, not only paths below it.
 */
export interface FieldSet {
  member: boolean;
  children: Map<string, FieldSet>;
}

export const emptySet = (member = false): FieldSet => ({ member, children: new Map() });
const isEmpty = (set: FieldSet): boolean => !set.member && set.children.size === 0;

export { isEmpty as isEmptySet };

export function parseFields(fields: object | undefined): FieldSet {
  const set = emptySet();
  const entries = Object.entries(fields ?? {});
  for (const [key, inner] of entries) {
    if (key === '.') set.member = true;
    else {
      const child = parseFields(inner as object);
      if (child.children.size === 0) child.member = true;
      set.children.set(key, child);
    }
  }
  return set;
}

export function formatFields(set: FieldSet): object {
  const result: Record<string, object> = {};
  if (set.member && set.children.size > 0) result['.'] = {};
  for (const key of [...set.children.keys()].sort()) result[key] = formatFields(set.children.get(key)!);
  return result;
}

/** Key of an item in a keyed list, with the defaults that the API applies to keys (a port's protocol is TCP). */
export function itemKey(item: Json, keys: string[] | 'set', schema?: Schema): string {
  if (keys === 'set' || !isObject(item)) return `v:${JSON.stringify(item)}`;
  return `k:${canonicalJson(Object.fromEntries(keysOf(item, keys, schema)))}`;
}

/** What an item of a keyed list has for each key, or by default. */
export function keysOf(item: JsonObject, keys: string[], schema?: Schema): [string, Json][] {
  return keys.flatMap((key): [string, Json][] => {
    const value =
      item[key] ??
      (schema?.items?.properties?.[key]?.default as Json | undefined) ??
      (key === 'protocol' ? 'TCP' : undefined);
    return value === undefined ? [] : [[key, value]];
  });
}

/** The paths that a value sets. */
export function fieldsOf(value: Json, schema: Schema | undefined): FieldSet {
  const set = emptySet();
  if (isObject(value) && !isAtomicMap(schema)) {
    for (const [key, inner] of Object.entries(value) as [string, Json][]) {
      if (inner === undefined) continue;
      const child = fieldsOf(inner, fieldSchema(schema, key));
      if (isEmpty(child)) child.member = true;
      set.children.set(`f:${key}`, child);
    }
    if (set.children.size === 0) set.member = true;
    return set;
  }
  if (Array.isArray(value)) {
    const keys = listKeys(schema);
    if (keys !== 'atomic') {
      for (const item of value) {
        const child = keys === 'set' ? emptySet() : fieldsOf(item, schema!.items);
        child.member = true;
        set.children.set(itemKey(item, keys, schema), child);
      }
      if (set.children.size === 0) set.member = true;
      return set;
    }
  }
  set.member = true;
  return set;
}

export function union(a: FieldSet, b: FieldSet): FieldSet {
  const result: FieldSet = { member: a.member || b.member, children: new Map(a.children) };
  for (const [key, child] of b.children) {
    const other = result.children.get(key);
    result.children.set(key, other ? union(other, child) : child);
  }
  return result;
}

/** Members of `a` that are not members of `b`. */
export function difference(a: FieldSet, b: FieldSet): FieldSet {
  const result = emptySet(a.member && !b.member);
  for (const [key, child] of a.children) {
    const other = b.children.get(key);
    const left = other ? difference(child, other) : child;
    if (!isEmpty(left)) result.children.set(key, left);
  }
  return result;
}

export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  const result = emptySet(a.member && b.member);
  for (const [key, child] of a.children) {
    const other = b.children.get(key);
    if (!other) continue;
    const both = intersection(child, other);
    if (!isEmpty(both)) result.children.set(key, both);
  }
  return result;
}

/** The paths of members, as a person would write them: `.spec.template.spec.containers[name="app"].image`. */
export function pathsOf(set: FieldSet, prefix = ''): string[] {
  const own = set.member && prefix ? [prefix] : [];
  return own.concat(...[...set.children].map(([key, child]) => pathsOf(child, prefix + segment(key))));
}

function segment(key: string): string {
  if (key.startsWith('f:')) return `.${key.slice(2)}`;
  if (key.startsWith('v:')) return `[=${key.slice(2)}]`;
  const fields = JSON.parse(key.slice(2)) as JsonObject;
  return `[${Object.entries(fields)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
    .join(',')}]`;
}

/** Finds the value that one step of a path leads to. */
export function childOf(
  value: Json | undefined,
  key: string,
  schema: Schema | undefined,
): { value: Json | undefined; schema: Schema | undefined } {
  if (key.startsWith('f:')) {
    const name = key.slice(2);
    return { value: isObject(value) ? value[name] : undefined, schema: fieldSchema(schema, name) };
  }
  const keys = listKeys(schema);
  if (!Array.isArray(value) || keys === 'atomic') return { value: undefined, schema: schema?.items };
  return { value: value.find((item) => itemKey(item, keys, schema) === key), schema: schema?.items };
}

/** Members whose values differ between two objects (or that one of them lacks). */
export function changedFields(
  set: FieldSet,
  before: Json | undefined,
  after: Json | undefined,
  schema: Schema | undefined,
): FieldSet {
  const result = emptySet();
  if (set.member) {
    const structured = set.children.size > 0;
    result.member = structured ? (before === undefined) !== (after === undefined) : !sameJson(before, after);
  }
  for (const [key, child] of set.children) {
    const old = childOf(before, key, schema);
    const now = childOf(after, key, schema);
    const inner = changedFields(child, old.value, now.value, now.schema);
    if (!isEmpty(inner)) result.children.set(key, inner);
  }
  return result;
}
