import { sameJson } from '../../../lib/same-json.ts';
import { isObject, type Json, type JsonObject } from '../json.ts';
import { fieldSchema, type Schema } from '../schema/schema.ts';

const SET_ORDER = '$setElementOrder/';
const DELETE_FROM = '$deleteFromPrimitiveList/';
const RETAIN = '$retainKeys';

/** Kubernetes' strategic merge patch, by the merge keys of the schema. */
export function applyStrategicPatch(target: Json | undefined, patch: Json, schema: Schema | undefined): Json {
  if (!isObject(patch)) return patch;
  const { $patch: directive, ...rest } = patch as JsonObject;
  if (directive === 'replace') return withoutDirectives(rest);
  if (directive === 'delete') return {};
  const result: JsonObject = isObject(target) ? { ...target } : {};
  if (Array.isArray(rest[RETAIN])) {
    for (const key of Object.keys(result)) if (!rest[RETAIN].includes(key)) delete result[key];
  }
  for (const [key, value] of Object.entries(rest) as [string, Json][]) {
    if (key === RETAIN || key.startsWith(SET_ORDER)) continue;
    if (key.startsWith(DELETE_FROM)) {
      const field = key.slice(DELETE_FROM.length);
      const kept = asList(result[field]).filter(
        (item) => !asList(value).some((gone) => sameJson(gone, item)),
      );
      result[field] = kept;
      continue;
    }
    const inner = fieldSchema(schema, key);
    const order = rest[`${SET_ORDER}${key}`];
    if (value === null) delete result[key];
    else if (Array.isArray(value)) result[key] = reorder(mergeList(result[key], value, inner), order, inner);
    else result[key] = applyStrategicPatch(result[key], value, inner);
  }
  for (const key of Object.keys(rest).filter((each) => each.startsWith(SET_ORDER))) {
    const field = key.slice(SET_ORDER.length);
    if (!(field in rest) && Array.isArray(result[field]))
      result[field] = reorder(result[field], rest[key], fieldSchema(schema, field));
  }
  return result;
}

const asList = (value: Json | undefined): Json[] => (Array.isArray(value) ? value : []);

function mergeList(target: Json | undefined, patch: Json[], schema: Schema | undefined): Json[] {
  const merges = schema?.['x-kubernetes-patch-strategy']?.includes('merge') ?? false;
  const replaces = patch.some((item) => isObject(item) && item.$patch === 'replace');
  if (!merges || replaces)
    return patch.filter((item) => !(isObject(item) && item.$patch === 'replace')).map(withoutDirectives);
  const key = schema?.['x-kubernetes-patch-merge-key'];
  const result = [...asList(target)];
  for (const item of patch) {
    if (!key || !isObject(item)) {
      if (!result.some((other) => sameJson(other, item))) result.push(item);
      continue;
    }
    const index = result.findIndex((other) => isObject(other) && sameJson(other[key], item[key]));
    if (item.$patch === 'delete') {
      if (index >= 0) result.splice(index, 1);
    } else if (index >= 0) result[index] = applyStrategicPatch(result[index], item, schema!.items);
    else result.push(applyStrategicPatch({}, item, schema!.items));
  }
  return result;
}

/** Puts the items that the patch names into its order; the others keep their place relative to their neighbours. */
function reorder(list: Json[], order: Json | undefined, schema: Schema | undefined): Json[] {
  if (!Array.isArray(order)) return list;
  const key = schema?.['x-kubernetes-patch-merge-key'];
  const identity = (item: Json): string => JSON.stringify(key && isObject(item) ? item[key] : item);
  const rank = new Map(order.map((item, index) => [identity(item), index]));
  const named = list
    .filter((item) => rank.has(identity(item)))
    .sort((a, b) => rank.get(identity(a))! - rank.get(identity(b))!);
  return list.map((item) => (rank.has(identity(item)) ? named.shift()! : item));
}

function withoutDirectives(value: Json): Json {
  if (Array.isArray(value)) return value.map(withoutDirectives);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, inner]) => !key.startsWith('$') && inner !== null)
      .map(([key, inner]) => [key, withoutDirectives(inner)]),
  );
}
