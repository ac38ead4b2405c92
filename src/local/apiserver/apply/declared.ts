import { type ItemName, prune } from '../crd/structural.ts';
import { StatusError } from '../errors.ts';
import { clone, isObject, type JsonObject } from '../json.ts';
import { groupVersionOf, type Served } from '../kinds.ts';
import { listKeys } from '../schema/schema.ts';
import { keysOf } from './field-set.ts';

/**
 * Server-side apply refuses fields that the schema does not know, whatever fieldValidation says: nobody could own them. The real
 * server answers 500 without a reason, and stops at the first of each map; here all of them are told.
 */
export function checkDeclared(body: JsonObject, served: Served, namespace: string, name: string): void {
  const unknown = prune(clone(body), served.schema, byKeys);
  if (unknown.length === 0) return;
  const lines = unknown.map((path) => `.${path}: field not declared in schema`);
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

/** By its keys, where it has any, as structured-merge-diff writes it: `.spec.ports[port=80,protocol="TCP"].nme`. */
const byKeys: ItemName = (item, index, schema) => {
  const keys = listKeys(schema);
  if (typeof keys === 'string' || !isObject(item)) return `[${index}]`;
  const known = keysOf(item, keys, schema).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return `[${known.join(',')}]`;
};
