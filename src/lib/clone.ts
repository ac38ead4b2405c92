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
