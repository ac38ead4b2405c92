import { StatusError } from '../errors.ts';
import type { Json, JsonObject } from '../json.ts';
import { MESSAGES } from './protobuf-types.ts';

const MAGIC = Buffer.from('k8s\0');

interface Field {
  name: string;
  type: string;
}

const tables = new Map<string, Map<number, Field>>();

const refuse = (what: string): StatusError =>
  new StatusError(
    415,
    'UnsupportedMediaType',
    `the body of the request was in an unknown format - ${what} is not understood as protobuf here: send application/json or application/yaml`,
  );

/** Decodes Kubernetes' protobuf envelope of one of the known messages into the object that JSON would give. */
export function decodeProtobuf(body: Buffer): JsonObject {
  if (!body.subarray(0, 4).equals(MAGIC)) throw refuse('a body without the k8s prefix');
  let type: Buffer | undefined;
  let raw: Buffer = Buffer.alloc(0);
  for (const { number, value } of fields(body.subarray(4))) {
    if (number === 1) type = value as Buffer;
    if (number === 2) raw = value as Buffer;
  }
  const [apiVersion, kind] = [...fields(type ?? Buffer.alloc(0))].map(({ value }) => value.toString()) as [
    string,
    string,
  ];
  return { apiVersion, kind, ...message(kind, raw) };
}

function message(name: string, body: Buffer): JsonObject {
  if (name === 'Ignored') return {};
  const table = tableOf(name);
  const result: JsonObject = {};
  for (const { number, value } of fields(body)) {
    const field = table.get(number);
    if (!field) throw refuse(`field ${number} of ${name}`);
    const { name: key, type } = field;
    if (type === 'Ignored') continue;
    if (type.startsWith('[]')) {
      result[key] ??= [];
      const list = result[key] as Json[];
      list.push(scalar(type.slice(2), value) as Json);
    } else if (type.startsWith('{}')) {
      result[key] ??= {};
      const map = result[key] as JsonObject;
      const [entryKey, entryValue] = entry(value as Buffer);
      map[entryKey] = scalar(type.slice(2), entryValue) as Json;
    } else {
      const decoded = scalar(type, value);
      // Go's encoder writes empty values of plain fields; JSON leaves them out.
      if (decoded !== '' && decoded !== undefined && decoded !== false) result[key] = decoded;
    }
  }
  return result;
}

function entry(body: Buffer): [string, Buffer] {
  let key = '';
  let content: Buffer = Buffer.alloc(0);
  for (const { number, value } of fields(body)) {
    if (number === 1) key = value.toString();
    else content = value as Buffer;
  }
  return [key, content];
}

function scalar(type: string, value: Buffer | bigint): Json | undefined {
  switch (type) {
    case 's':
      return value.toString();
    case 'y':
      return (value as Buffer).toString('base64');
    case 'z':
      return value === 0n ? undefined : Number(BigInt.asIntN(64, value as bigint));
    case 'i':
      return Number(BigInt.asIntN(64, value as bigint));
    case 'b':
      return value !== 0n;
    case 't': {
      const seconds = [...fields(value as Buffer)].find(({ number }) => number === 1)?.value as
        | bigint
        | undefined;
      return seconds ? `${new Date(Number(seconds) * 1000).toISOString().slice(0, 19)}Z` : undefined;
    }
    case 'x': {
      const parts = new Map([...fields(value as Buffer)].map((field) => [field.number, field.value]));
      return parts.get(1) === 1n
        ? String(parts.get(3) ?? '')
        : Number(BigInt.asIntN(64, (parts.get(2) as bigint) ?? 0n));
    }
    default:
      return message(type, value as Buffer);
  }
}

function tableOf(name: string): Map<number, Field> {
  let table = tables.get(name);
  if (table) return table;
  const line = MESSAGES[name];
  if (!line) throw refuse(name || 'an unnamed kind');
  table = new Map(
    line.split(' ').map((text) => {
      const [number, field, type] = text.split(':') as [string, string, string];
      return [Number(number), { name: field, type }];
    }),
  );
  tables.set(name, table);
  return table;
}

function* fields(body: Buffer): Generator<{ number: number; value: Buffer | bigint }> {
  let position = 0;
  const varint = (): bigint => {
    let result = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = body[position++];
      if (byte === undefined) throw refuse('a truncated message');
      result |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return result;
    }
    throw refuse('an overlong number');
  };
  const take = (length: number): Buffer => {
    if (position + length > body.length) throw refuse('a truncated message');
    position += length;
    return body.subarray(position - length, position);
  };
  while (position < body.length) {
    const tag = Number(varint());
    const wire = tag & 7;
    const number = tag >>> 3;
    if (wire === 0) yield { number, value: varint() };
    else if (wire === 2) yield { number, value: take(Number(varint())) };
    else if (wire === 1) yield { number, value: take(8) };
    else if (wire === 5) yield { number, value: take(4) };
    else throw refuse(`wire type ${wire}`);
  }
}
