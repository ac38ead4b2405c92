import { OPEN, type Schema } from './schema.ts';
import { TYPES_A_TO_L } from './types-a-l.ts';
import { TYPES_M_TO_Z } from './types-m-z.ts';

const SCALARS: Record<string, Schema> = {
  s: { type: 'string' },
  bytes: { type: 'string', format: 'byte' },
  i: { type: 'integer' },
  n: { type: 'number' },
  b: { type: 'boolean' },
  t: { type: 'string', format: 'date-time' },
  x: { 'x-kubernetes-int-or-string': true, format: 'int-or-string' },
  q: { 'x-kubernetes-int-or-string': true, format: 'quantity' },
  any: OPEN,
};

// The key that strategic merge patches use where it is not the first of the list-map keys.
const PATCH_KEYS: Record<string, string> = { volumes: 'merge,retainKeys' };

const lines = new Map<string, string>();
const parsed = new Map<string, Schema>();

/** A type of the built-in kinds by its Go name, such as `PodSpec`. Parsed on first use: a start pays for what it uses. */
export function builtinType(name: string): Schema {
  const known = parsed.get(name);
  if (known) return known;
  if (lines.size === 0)
    for (const line of `${TYPES_A_TO_L}\n${TYPES_M_TO_Z}`.split('\n')) {
      const colon = line.indexOf(': ');
      if (colon > 0) lines.set(line.slice(0, colon), line.slice(colon + 2).trim());
      else if (line.endsWith(':')) lines.set(line.slice(0, -1), '');
    }
  const line = lines.get(name);
  if (line === undefined) return OPEN;
  const schema: Schema = { type: 'object', ref: name, properties: {} };
  parsed.set(name, schema);
  if (line.startsWith('~')) schema['x-kubernetes-map-type'] = 'atomic';
  const required: string[] = [];
  for (const field of line.replace(/^~/, '').split(' ').filter(Boolean)) {
    const colon = field.indexOf(':');
    let key = field.slice(0, colon);
    if (key.endsWith('!')) {
      key = key.slice(0, -1);
      required.push(key);
    }
    schema.properties![key] = parseType(key, field.slice(colon + 1));
  }
  if (required.length > 0) schema.required = required;
  return schema;
}

/** A kind: its type with apiVersion and kind added. */
export function builtinKind(name: string): Schema {
  const schema = builtinType(name);
  if (!schema.properties || 'apiVersion' in schema.properties) return schema;
  schema.properties = { apiVersion: SCALARS.s!, kind: SCALARS.s!, ...schema.properties };
  return schema;
}

function parseType(key: string, text: string): Schema {
  const [, type, mark, argument] = /^([^@=]+)(?:([@=])(.*))?$/.exec(text)!;
  if (type!.startsWith('[]')) {
    const items = parseType(key, type!.slice(2));
    const list: Schema = { type: 'array', items };
    if (mark === '@') {
      const keys = argument!.split(',');
      list['x-kubernetes-list-type'] = 'map';
      list['x-kubernetes-list-map-keys'] = keys;
      list['x-kubernetes-patch-merge-key'] = keys[0];
      list['x-kubernetes-patch-strategy'] = PATCH_KEYS[key] ?? 'merge';
    } else if (argument === 'set') {
      list['x-kubernetes-list-type'] = 'set';
      list['x-kubernetes-patch-strategy'] = 'merge';
    } else list['x-kubernetes-list-type'] = 'atomic';
    return list;
  }
  if (type!.startsWith('{}')) {
    const map: Schema = { type: 'object', additionalProperties: parseType(key, type!.slice(2)) };
    if (argument === 'atomic') map['x-kubernetes-map-type'] = 'atomic';
    return map;
  }
  return SCALARS[type!] ?? builtinType(type!);
}
