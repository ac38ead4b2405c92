import { clone, isObject, type Json, type JsonObject } from '../json.ts';
import type { Schema } from '../schema/schema.ts';

/** Fills in defaults of a structural schema, in place. */
export function applyDefaults(value: Json, schema: Schema): void {
  if (isObject(value)) {
    for (const [name, field] of Object.entries(schema.properties ?? {})) {
      if (value[name] === undefined && field.default !== undefined)
        value[name] = clone(field.default) as Json;
      if (value[name] === null && !field.nullable && field.default !== undefined)
        value[name] = clone(field.default) as Json;
      const inner = value[name];
      if (inner !== undefined && inner !== null) applyDefaults(inner, field);
    }
    if (typeof schema.additionalProperties === 'object')
      for (const [name, inner] of Object.entries(value))
        if (!schema.properties?.[name] && inner !== null) applyDefaults(inner, schema.additionalProperties);
  } else if (Array.isArray(value) && schema.items)
    for (const item of value) applyDefaults(item, schema.items);
}

/** How an item of a list is named in a path. */
export type ItemName = (item: Json, index: number, list: Schema) => string;

const byIndex: ItemName = (_item, index) => `[${index}]`;

/** Removes fields that the schema does not know, in place; returns their paths. */
export function prune(
  value: Json,
  schema: Schema,
  nameOf: ItemName = byIndex,
  path = '',
  found: string[] = [],
): string[] {
  if (isObject(value)) {
    if (schema['x-kubernetes-embedded-resource']) return found;
    const keep = schema['x-kubernetes-preserve-unknown-fields'] === true;
    const map = schema.additionalProperties;
    for (const [name, inner] of Object.entries(value)) {
      const here = path ? `${path}.${name}` : name;
      const field = schema.properties?.[name];
      if (field) prune(inner, field, nameOf, here, found);
      else if (typeof map === 'object') prune(inner, map, nameOf, here, found);
      else if (!keep && map !== true && schema.type === 'object') {
        found.push(here);
        delete value[name];
      }
    }
  } else if (Array.isArray(value) && schema.items) {
    for (const [index, item] of value.entries())
      prune(item, schema.items, nameOf, path + nameOf(item, index, schema), found);
  }
  return found;
}

/** Drops nulls where the schema does not allow them: as the real server does for built-in kinds. */
export function dropNulls(value: Json): void {
  if (Array.isArray(value)) for (const item of value) dropNulls(item);
  else if (isObject(value))
    for (const [name, inner] of Object.entries(value) as [string, Json][]) {
      if (inner === null) delete (value as JsonObject)[name];
      else dropNulls(inner);
    }
}
