import type { KubeObject } from '../../../api/meta.ts';
import { asJson, isObject, type Json, type JsonObject } from '../json.ts';
import type { Served } from '../kinds.ts';
import {
  changedFields,
  difference,
  emptySet,
  type FieldSet,
  fieldsOf,
  formatFields,
  isEmptySet,
  parseFields,
  union,
} from './field-set.ts';

export interface ManagerEntry {
  manager: string;
  operation: 'Apply' | 'Update';
  apiVersion?: string;
  time?: string;
  fieldsType?: string;
  fieldsV1?: object;
  subresource?: string;
}

export interface Manager {
  name: string;
  operation: 'Apply' | 'Update';
  subresource: string | undefined;
  apiVersion: string;
  time: string;
}

export const entriesOf = (object: KubeObject | undefined): ManagerEntry[] =>
  (object?.metadata.managedFields ?? []) as ManagerEntry[];

export const isManager = (entry: ManagerEntry, { name, operation, subresource }: Manager): boolean =>
  entry.manager === name && entry.operation === operation && (entry.subresource ?? undefined) === subresource;

const UNOWNED = [
  'name',
  'namespace',
  'uid',
  'resourceVersion',
  'generation',
  'creationTimestamp',
  'managedFields',
  'selfLink',
  'deletionTimestamp',
  'deletionGracePeriodSeconds',
  'generateName',
];

/** What can have an owner: identity and bookkeeping are left out, and fields that the endpoint does not write. */
export function ownable(object: KubeObject, served: Served, subresource: string | undefined): JsonObject {
  const { apiVersion: _apiVersion, kind: _kind, metadata, ...rest } = asJson(object);
  const result: JsonObject = { ...rest };
  if (served.status && subresource !== 'status') delete result.status;
  if (subresource === 'status')
    for (const key of Object.keys(result)) if (key !== 'status') delete result[key];
  if (isObject(metadata)) {
    const kept = Object.fromEntries(Object.entries(metadata).filter(([key]) => !UNOWNED.includes(key)));
    if (Object.keys(kept).length > 0) result.metadata = kept;
  }
  return result;
}

export function ownableFields(object: KubeObject, served: Served, subresource: string | undefined): FieldSet {
  const set = fieldsOf(ownable(object, served, subresource), served.schema);
  return set.children.size === 0 ? emptySet() : set;
}

/** The new managedFields after a create, replace or patch: the writer owns what it changed, others lose that. */
export function trackUpdate(
  before: KubeObject | undefined,
  after: KubeObject,
  served: Served,
  manager: Manager,
): void {
  const old: Json = before ? ownable(before, served, manager.subresource) : {};
  const now: Json = ownable(after, served, manager.subresource);
  const fields = ownableFields(after, served, manager.subresource);
  const changed = before ? changedFields(fields, old, now, served.schema) : fields;
  const removed = before
    ? difference(ownableFields(before, served, manager.subresource), fields)
    : emptySet();
  const entries = entriesOf(before);
  const lost = union(changed, removed);
  if (before && isEmptySet(lost)) {
    setEntries(after, entries);
    return;
  }
  const mine = entries.find((entry) => isManager(entry, manager));
  const others = entries
    .filter((entry) => entry !== mine)
    .map((entry) => ({ ...entry, set: difference(parseFields(entry.fieldsV1), lost) }))
    .filter(({ set }) => !isEmptySet(set))
    .map(({ set, ...entry }) => ({ ...entry, fieldsV1: formatFields(set) }));
  const owned = union(difference(parseFields(mine?.fieldsV1), removed), changed);
  setEntries(after, isEmptySet(owned) ? others : [...others, entryFor(manager, owned)]);
}

export function entryFor(
  { name, operation, subresource, apiVersion, time }: Manager,
  set: FieldSet,
): ManagerEntry {
  return {
    manager: name,
    operation,
    apiVersion,
    time,
    fieldsType: 'FieldsV1',
    fieldsV1: formatFields(set),
    ...(subresource ? { subresource } : {}),
  };
}

export function setEntries(object: KubeObject, entries: ManagerEntry[]): void {
  if (entries.length > 0) object.metadata.managedFields = entries;
  else delete object.metadata.managedFields;
}
