/** What JSON makes of a number that it cannot write. */
const written = (value: unknown): unknown =>
  typeof value === 'number' && !Number.isFinite(value) ? null : value;

/** Whether two values have the same JSON, whatever the order of keys; a field that is undefined is absent. */
export function sameJson(left: unknown, right: unknown): boolean {
  const a = written(left);
  const b = written(right);
  if (a === b) return true;
  if (a === null || b === null || typeof a !== 'object' || typeof b !== 'object') return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((each, index) => sameJson(each, b[index]));
  }
  const [one, other] = [a as Record<string, unknown>, b as Record<string, unknown>];
  for (const key of Object.keys(one)) if (!sameJson(one[key], other[key])) return false;
  for (const key of Object.keys(other)) if (other[key] !== undefined && !(key in one)) return false;
  return true;
}
