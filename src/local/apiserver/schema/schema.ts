/** The structural part of OpenAPI v3 that Kubernetes uses, for built-in kinds and CRDs alike. */
export interface Schema {
  type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean';
  format?: string;
  description?: string;
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  required?: string[];
  items?: Schema;
  default?: unknown;
  enum?: unknown[];
  nullable?: boolean;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: boolean;
  exclusiveMaximum?: boolean;
  multipleOf?: number;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  minItems?: number;
  maxItems?: number;
  uniqueItems?: boolean;
  minProperties?: number;
  maxProperties?: number;
  allOf?: Schema[];
  anyOf?: Schema[];
  oneOf?: Schema[];
  not?: Schema;
  'x-kubernetes-int-or-string'?: boolean;
  'x-kubernetes-preserve-unknown-fields'?: boolean;
  'x-kubernetes-embedded-resource'?: boolean;
  'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map';
  'x-kubernetes-list-map-keys'?: string[];
  'x-kubernetes-map-type'?: 'atomic' | 'granular';
  'x-kubernetes-patch-merge-key'?: string;
  'x-kubernetes-patch-strategy'?: string;
  /** Name of the shared definition of a built-in type; a `$ref` in OpenAPI documents. */
  ref?: string;
}

/** Anything goes: what the server stores without looking. */
export const OPEN: Schema = { 'x-kubernetes-preserve-unknown-fields': true };

/** Schema of a field of an object, through properties or additionalProperties; undefined for an unknown field. */
export function fieldSchema(schema: Schema | undefined, name: string): Schema | undefined {
  if (!schema) return undefined;
  const own = schema.properties?.[name];
  if (own) return own;
  if (typeof schema.additionalProperties === 'object') return schema.additionalProperties;
  return undefined;
}

/** How server-side apply treats a list. Lists of scalars and of anything unmarked are owned as a whole. */
export function listKeys(schema: Schema | undefined): string[] | 'set' | 'atomic' {
  const type = schema?.['x-kubernetes-list-type'];
  if (type === 'map') return schema!['x-kubernetes-list-map-keys'] ?? [];
  return type === 'set' ? 'set' : 'atomic';
}

export const isAtomicMap = (schema: Schema | undefined): boolean =>
  schema?.['x-kubernetes-map-type'] === 'atomic';
