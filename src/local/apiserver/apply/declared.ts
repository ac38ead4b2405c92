import { StatusError } from '../errors.ts';
import { isObject, type Json, type JsonObject } from '../json.ts';
import { groupVersionOf, type Served } from '../kinds.ts';
import { listKeys, type Schema } from '../schema/schema.ts';
import { keysOf } from './field-set.ts';

/**
 * Server-side apply refuses fields that the schema does not know, whatever fieldValidation says: nobody could own them. The real
 * server answers 500 without a reason, and stops at the first of each map; here all of them are told.
 */
export function checkDeclared(body: JsonObject, served: Served, namespace: string, name: string): void {
  const unknown = undeclared(body, served.schema);
  if (unknown.length === 0) return;
  const lines = unknown.map((path) => `${path}: field not declared in schema`);
  const group = groupVersionOf(served);
  const version = group.includes('/') ? group : `/${group}`;
  throw new StatusError(
    500,
    '',
    `failed to create typed patch object (${namespace}/${name}; ${version}, Kind=${served.kind}): ${
      lines.length === 1 ? lines[0] : `errors:\n${lines.map((line) => `  ${line}`).join('\n')}`
    }`,
  );
}

/** Their paths, as structured-merge-diff writes them: `.spec.ports[port=80,protocol="TCP"].nme`. */
function undeclared(value: Json, schema: Schema, path = ''): string[] {
  if (Array.isArray(value)) {
    const { items } = schema;
    if (!items) return [];
    return value.flatMap((item, index) => undeclared(item, items, path + element(item, index, schema)));
  }
  if (!isObject(value) || schema['x-kubernetes-embedded-resource']) return [];
  const map = schema.additionalProperties;
  const open = schema['x-kubernetes-preserve-unknown-fields'] === true || map === true;
  return Object.entries(value).flatMap(([name, inner]) => {
    const here = `${path}.${name}`;
    const field = schema.properties?.[name] ?? (typeof map === 'object' ? map : undefined);
    if (field) return undeclared(inner, field, here);
    return open || schema.type !== 'object' ? [] : [here];
  });
}

/** An item of a list by its keys, where it has any. */
function element(item: Json, index: number, schema: Schema): string {
  const keys = listKeys(schema);
  if (typeof keys === 'string' || !isObject(item)) return `[${index}]`;
  const known = keysOf(item, keys, schema).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return `[${known.join(',')}]`;
}
