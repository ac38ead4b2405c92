import type { KubeObject } from '../../api/meta.ts';

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

export const isObject = (value: unknown): value is JsonObject =>
  value !== null && typeof value === 'object' && !Array.isArray(value);

/** A copy of plain JSON, several times as fast as structuredClone. */
export function clone<T>(value: T): T {
  if (Array.isArray(value)) return value.map(clone) as T;
  if (value === null || typeof value !== 'object') return value;
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(value)) {
    const inner = clone((value as Record<string, unknown>)[key]);
    // JSON may have it as a key like any other; an assignment would set the prototype.
    if (key === '__proto__') {
      Object.defineProperty(copy, key, {
        value: inner,
        enumerable: true,
        configurable: true,
        writable: true,
      });
    } else copy[key] = inner;
  }
  return copy as T;
}

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
