import { sameJson } from '../../../lib/same-json.ts';
import { invalidValue, required, type Violation } from '../errors.ts';
import { isObject, type Json } from '../json.ts';
import type { Schema } from '../schema/schema.ts';

/** Every rule of an OpenAPI v3 schema that a value breaks, in the words of the real API server. */
export function validateSchema(value: Json, schema: Schema, path = '<nil>'): Violation[] {
  const violations: Violation[] = [];
  check(value, schema, path === '<nil>' ? '' : path, violations);
  return violations;
}

function check(value: Json, schema: Schema, path: string, out: Violation[]): void {
  const bad = (note: string) => out.push(invalidValue(path, value, `${path} in body ${note}`));
  if (value === null) {
    if (!schema.nullable && schema.type) out.push(typeError(path, value, schema.type));
    return;
  }
  if (schema['x-kubernetes-int-or-string']) {
    if (typeof value !== 'string' && !Number.isInteger(value))
      out.push(typeError(path, value, 'integer,string'));
  } else if (schema.type && !hasType(value, schema.type)) {
    out.push(typeError(path, value, schema.type));
    return;
  }
  if (schema.enum && !schema.enum.some((each) => sameJson(each, value)))
    out.push({
      field: path,
      reason: 'FieldValueNotSupported',
      message: `Unsupported value: ${JSON.stringify(value)}: supported values: ${schema.enum.map((each) => JSON.stringify(each)).join(', ')}`,
    });
  if (typeof value === 'string') checkString(value, schema, bad);
  if (typeof value === 'number') checkNumber(value, schema, bad);
  if (Array.isArray(value)) checkList(value, schema, path, out, bad);
  if (isObject(value)) {
    const size = Object.keys(value).length;
    if (schema.minProperties !== undefined && size < schema.minProperties)
      bad(`should have at least ${schema.minProperties} properties`);
    if (schema.maxProperties !== undefined && size > schema.maxProperties)
      bad(`should have at most ${schema.maxProperties} properties`);
    for (const name of schema.required ?? [])
      if (value[name] === undefined) out.push(required(path ? `${path}.${name}` : name));
    for (const [name, inner] of Object.entries(value) as [string, Json][]) {
      const field =
        schema.properties?.[name] ??
        (typeof schema.additionalProperties === 'object' ? schema.additionalProperties : undefined);
      if (field && inner !== undefined) check(inner, field, path ? `${path}.${name}` : name, out);
    }
  }
  checkCombinations(value, schema, path, out);
}

function checkString(value: string, schema: Schema, bad: (note: string) => void): void {
  if (schema.minLength !== undefined && value.length < schema.minLength)
    bad(`should be at least ${schema.minLength} chars long`);
  if (schema.maxLength !== undefined && value.length > schema.maxLength)
    bad(`should be at most ${schema.maxLength} chars long`);
  if (schema.pattern !== undefined && !new RegExp(schema.pattern).test(value))
    bad(`should match '${schema.pattern}'`);
  if (schema.format === 'date-time' && Number.isNaN(Date.parse(value)))
    bad(`must be of type date-time: "${value}"`);
}

function checkNumber(value: number, schema: Schema, bad: (note: string) => void): void {
  const { minimum, maximum } = schema;
  if (minimum !== undefined && (schema.exclusiveMinimum ? value <= minimum : value < minimum))
    bad(`should be greater than ${schema.exclusiveMinimum ? '' : 'or equal to '}${minimum}`);
  if (maximum !== undefined && (schema.exclusiveMaximum ? value >= maximum : value > maximum))
    bad(`should be less than ${schema.exclusiveMaximum ? '' : 'or equal to '}${maximum}`);
  if (schema.multipleOf && value % schema.multipleOf !== 0)
    bad(`should be a multiple of ${schema.multipleOf}`);
}

function checkList(
  value: Json[],
  schema: Schema,
  path: string,
  out: Violation[],
  bad: (note: string) => void,
): void {
  if (schema.minItems !== undefined && value.length < schema.minItems)
    bad(`should have at least ${schema.minItems} items`);
  if (schema.maxItems !== undefined && value.length > schema.maxItems)
    bad(`should have at most ${schema.maxItems} items`);
  const keys = schema['x-kubernetes-list-map-keys'];
  const seen = new Set<string>();
  for (const [index, item] of value.entries()) {
    if (schema.items) check(item, schema.items, `${path}[${index}]`, out);
    const isMap = schema['x-kubernetes-list-type'] === 'map' && keys && isObject(item);
    if (!isMap && schema['x-kubernetes-list-type'] !== 'set' && !schema.uniqueItems) continue;
    const key = JSON.stringify(isMap ? keys.map((name) => [name, item[name]]) : item);
    if (seen.has(key))
      out.push({
        field: `${path}[${index}]`,
        reason: 'FieldValueDuplicate',
        message: `Duplicate value: ${key}`,
      });
    seen.add(key);
  }
}

function checkCombinations(value: Json, schema: Schema, path: string, out: Violation[]): void {
  const passes = (inner: Schema) => validateSchema(value, inner, path).length === 0;
  for (const inner of schema.allOf ?? []) check(value, inner, path, out);
  if (schema.anyOf && !schema.anyOf.some(passes))
    out.push(invalidValue(path, value, `${path} in body must validate at least one schema (anyOf)`));
  if (schema.oneOf && schema.oneOf.filter(passes).length !== 1)
    out.push(invalidValue(path, value, `${path} in body must validate one and only one schema (oneOf)`));
  if (schema.not && passes(schema.not))
    out.push(invalidValue(path, value, `${path} in body must not validate the schema (not)`));
}

function hasType(value: Json, type: NonNullable<Schema['type']>): boolean {
  switch (type) {
    case 'object':
      return isObject(value);
    case 'array':
      return Array.isArray(value);
    case 'integer':
      return Number.isInteger(value);
    default:
      return typeof value === type;
  }
}

function typeError(field: string, value: Json, type: string): Violation {
  const actual =
    value === null
      ? 'null'
      : Array.isArray(value)
        ? 'array'
        : typeof value === 'number' && Number.isInteger(value)
          ? 'integer'
          : typeof value;
  return {
    field,
    reason: 'FieldValueTypeInvalid',
    message: `Invalid value: "${actual}": ${field} in body must be of type ${type}: "${actual}"`,
  };
}
