import { z } from 'zod';

/** A node of an OpenAPI v3 schema, as a CustomResourceDefinition carries it. */
export interface SchemaNode {
  type?: string;
  description?: string;
  properties?: Record<string, SchemaNode>;
  additionalProperties?: SchemaNode | boolean;
  items?: SchemaNode;
  required?: string[];
  anyOf?: SchemaNode[];
  'x-kubernetes-preserve-unknown-fields'?: boolean;
  'x-kubernetes-validations'?: { rule: string; message: string }[];
  [keyword: string]: unknown;
}

/** zod writes its safe-integer bounds; they say nothing a user needs. */
const SAFE = 2 ** 53 - 1;

/**
 * An OpenAPI schema made structural (KEP-1111): every node has a type; a union of scalars becomes
 * `x-kubernetes-preserve-unknown-fields` without a type, because `int-or-string` knows no fractions, and is judged by the
 * controller; closed objects lose `additionalProperties: false`, since pruning and strict validation do that work.
 */
export function structural(node: SchemaNode): SchemaNode {
  if (node.anyOf) {
    const { anyOf: _anyOf, ...rest } = node;
    return { ...rest, 'x-kubernetes-preserve-unknown-fields': true };
  }
  const result: SchemaNode = { ...node };
  if (node.additionalProperties === false) delete result.additionalProperties;
  else if (typeof node.additionalProperties === 'object')
    result.additionalProperties = structural(node.additionalProperties);
  if (result.minimum === -SAFE) delete result.minimum;
  if (result.maximum === SAFE) delete result.maximum;
  if (node.properties) {
    result.properties = Object.fromEntries(
      Object.entries(node.properties).map(([name, child]) => [name, structural(child)]),
    );
  }
  if (node.items) result.items = structural(node.items);
  return result;
}

/** The structural schema of what a user may write for a zod schema: defaults stay, refinements are given as CEL rules. */
export function schemaOf(schema: z.ZodType): SchemaNode {
  return structural(z.toJSONSchema(schema, { target: 'openapi-3.0', io: 'input' }) as SchemaNode);
}

/** Adds a CEL rule at a path such as `strategy.canary.steps[]`. */
export function withRule(root: SchemaNode, path: string, rule: string, message: string): void {
  let node = root;
  for (const part of path === '' ? [] : path.split('.')) {
    const list = part.endsWith('[]');
    const child = node.properties?.[list ? part.slice(0, -2) : part];
    const next = list ? child?.items : child;
    if (!next) throw new Error(`no ${path} in the schema`);
    node = next;
  }
  node['x-kubernetes-validations'] = [...(node['x-kubernetes-validations'] ?? []), { rule, message }];
}
