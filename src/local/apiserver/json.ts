import type { KubeObject } from '../../api/meta.ts';

export { clone } from '../../lib/clone.ts';

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

export const isObject = (value: unknown): value is JsonObject =>
  value !== null && typeof value === 'object' && !Array.isArray(value);

/** The value under a path of plain keys, or undefined. */
export function at(value: unknown, ...path: string[]): Json | undefined {
  let inner: unknown = value;
  for (const key of path) {
    if (!isObject(inner)) return undefined;
    inner = inner[key];
  }
  return inner as Json | undefined;
}

export const asJson = (object: KubeObject): JsonObject => object as unknown as JsonObject;
export const asObject = (value: JsonObject): KubeObject => value as unknown as KubeObject;
