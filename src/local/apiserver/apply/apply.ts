import type { KubeObject } from '../../../api/meta.ts';
import { StatusError } from '../errors.ts';
import { asJson, asObject, clone, isObject, type Json, type JsonObject } from '../json.ts';
import type { Served } from '../kinds.ts';
import { fieldSchema, isAtomicMap, listKeys, type Schema } from '../schema/schema.ts';
import {
  changedFields,
  difference,
  emptySet,
  type FieldSet,
  formatFields,
  intersection,
  isEmptySet,
  itemKey,
  parseFields,
  pathsOf,
  union,
} from './field-set.ts';
import {
  entriesOf,
  entryFor,
  isManager,
  type Manager,
  type ManagerEntry,
  ownable,
  ownableFields,
  setEntries,
} from './managers.ts';

/**
 * Server-side apply (KEP-555): the configuration is merged into the live object, fields that this manager applied
 * before and left out now are removed unless someone else owns them, and a field that another manager owns with a
 * different value is a conflict unless forced.
 */
export function applyConfiguration(
  live: KubeObject | undefined,
  configuration: KubeObject,
  served: Served,
  manager: Manager,
  force: boolean,
): KubeObject {
  const wanted = ownableFields(configuration, served, manager.subresource);
  if (!live) {
    const created = clone(configuration);
    setEntries(created, [entryFor(manager, wanted)]);
    return created;
  }
  const entries = entriesOf(live);
  const mine = entries.find((entry) => isManager(entry, manager));
  const others = entries.filter((entry) => entry !== mine);
  const liveValue = ownable(live, served, manager.subresource);
  const newValue = ownable(configuration, served, manager.subresource);
  const differing = changedFields(wanted, liveValue, newValue, served.schema);
  const conflicts = others
    // A field that is new to the live object, or that agrees with it, is shared.
    .map((entry) => ({ entry, fields: intersection(differing, parseFields(entry.fieldsV1)) }))
    .filter(({ fields }) => !isEmptySet(fields));
  if (conflicts.length > 0 && !force) throw conflictError(conflicts);

  let kept: ManagerEntry[] = others;
  if (conflicts.length > 0)
    kept = others.flatMap((entry) => {
      const left = difference(parseFields(entry.fieldsV1), differing);
      return isEmptySet(left) ? [] : [{ ...entry, fieldsV1: formatFields(left) }];
    });

  const merged = mergeValue(asJson(clone(live)), forMerge(configuration), served.schema) as JsonObject;
  const ownedByOthers = kept.map((entry) => parseFields(entry.fieldsV1)).reduce(union, emptySet());
  const dropped = difference(difference(parseFields(mine?.fieldsV1), wanted), ownedByOthers);
  const result = removeFields(merged, dropped, served.schema, union(wanted, ownedByOthers)) as JsonObject;
  const object = asObject(result);
  const unchangedEntry =
    mine &&
    JSON.stringify(mine.fieldsV1) === JSON.stringify(formatFields(wanted)) &&
    mine.apiVersion === manager.apiVersion;
  const entry = unchangedEntry ? mine : entryFor(manager, wanted);
  setEntries(object, isEmptySet(wanted) ? kept : [...kept, entry]);
  return object;
}

function forMerge(configuration: KubeObject): JsonObject {
  const { metadata, ...rest } = asJson(clone(configuration));
  const {
    resourceVersion: _version,
    uid: _uid,
    managedFields: _fields,
    creationTimestamp: _created,
    ...meta
  } = metadata as JsonObject;
  return { ...rest, metadata: meta };
}

function mergeValue(live: Json | undefined, wanted: Json, schema: Schema | undefined): Json {
  if (isObject(wanted) && isObject(live) && !isAtomicMap(schema)) {
    const result = { ...live };
    for (const [key, inner] of Object.entries(wanted) as [string, Json][])
      result[key] = mergeValue(live[key], inner, fieldSchema(schema, key));
    return result;
  }
  if (Array.isArray(wanted) && Array.isArray(live)) {
    const keys = listKeys(schema);
    if (keys === 'atomic') return wanted;
    const byKey = new Map(live.map((item) => [itemKey(item, keys, schema), item]));
    const applied = new Set(wanted.map((item) => itemKey(item, keys, schema)));
    const merged = wanted.map((item) => {
      const other = byKey.get(itemKey(item, keys, schema));
      return keys === 'set' || other === undefined ? item : mergeValue(other, item, schema!.items);
    });
    // The applied order wins; the items of others keep their order behind those that they followed.
    const rest = live.filter((item) => !applied.has(itemKey(item, keys, schema)));
    return [...merged, ...rest];
  }
  return wanted;
}

/** Removes members of `gone`, keeping containers in which somebody still owns something. */
function removeFields(value: Json, gone: FieldSet, schema: Schema | undefined, keep: FieldSet): Json {
  if (isObject(value)) {
    const result = { ...value };
    for (const [key, child] of gone.children) {
      const name = key.slice(2);
      const inner = result[name];
      if (!key.startsWith('f:') || inner === undefined) continue;
      const kept = keep.children.get(key);
      // A field that the schema names goes whole with what was applied of it, and defaults that nobody owns go along
      // (structured-merge-diff, EnsureNamedFieldsAreMembers).
      const named = schema?.properties?.[name] !== undefined;
      const left = named && !kept ? undefined : removeChild(inner, child, fieldSchema(schema, name), kept);
      if (left === undefined) delete result[name];
      else result[name] = left;
    }
    return result;
  }
  if (!Array.isArray(value)) return value;
  const keys = listKeys(schema);
  if (keys === 'atomic') return value;
  return value.flatMap((item) => {
    const key = itemKey(item, keys, schema);
    const child = gone.children.get(key);
    if (!child) return [item];
    const left = removeChild(item, child, schema!.items, keep.children.get(key));
    return left === undefined ? [] : [left];
  });
}

function removeChild(
  value: Json,
  gone: FieldSet,
  schema: Schema | undefined,
  keep: FieldSet | undefined,
): Json | undefined {
  if (gone.member && !keep) return undefined;
  const left = removeFields(value, gone, schema, keep ?? emptySet());
  // A struct that existed only for what was applied goes with its last field.
  if (!keep && isObject(left) && Object.keys(left).length === 0) return undefined;
  if (!keep && Array.isArray(left) && left.length === 0) return undefined;
  return left;
}

function conflictError(conflicts: { entry: ManagerEntry; fields: FieldSet }[]): StatusError {
  const causes = conflicts.flatMap(({ entry, fields }) => {
    const using = entry.operation === 'Apply' ? '' : ` using ${entry.apiVersion}`;
    const subresource = entry.subresource ? ` with subresource "${entry.subresource}"` : '';
    return pathsOf(fields).map((field) => ({
      reason: 'FieldManagerConflict',
      message: `conflict with "${entry.manager}"${subresource}${using}`,
      field,
    }));
  });
  const listed = causes.map(({ message, field }) => ({ message, field }));
  const plural = causes.length === 1 ? 'conflict' : 'conflicts';
  const first = listed[0]!;
  const text =
    causes.length === 1
      ? `${first.message}: ${first.field}`
      : `${[...Map.groupBy(listed, ({ message }) => `${message.replace('conflict with', 'conflicts with')}`)]
          .map(([message, fields]) => `${message}:\n${fields.map(({ field }) => `- ${field}`).join('\n')}`)
          .join('\n')}`;
  return new StatusError(409, 'Conflict', `Apply failed with ${causes.length} ${plural}: ${text}`, {
    causes,
  });
}
