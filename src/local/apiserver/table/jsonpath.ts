import { isObject, type Json } from '../json.ts';

/** The subset of JSONPath that printer columns use: fields, indexes, `[*]` and `[?(@.a=="b")]`. First match only. */
export function jsonPath(value: unknown, path: string): Json | undefined {
  const steps = path.match(/\.(?:[^.[\]\\]|\\.)+|\[\?\(@\.[^)]*\)\]|\[[^\]]*\]/g) ?? [];
  let found: Json[] = [value as Json];
  for (const step of steps) found = found.flatMap((each) => follow(each, step));
  return found[0];
}

function follow(value: Json, step: string): Json[] {
  if (step.startsWith('.')) return field(value, step.slice(1).replaceAll('\\.', '.'));
  const inner = step.slice(1, -1);
  if (inner === '*')
    return Array.isArray(value) ? value : isObject(value) ? (Object.values(value) as Json[]) : [];
  const filter = /^\?\(@\.([\w.-]+)\s*(==|!=)\s*["']?(.*?)["']?\)$/.exec(inner);
  if (filter) {
    const [, path, operator, wanted] = filter;
    return (Array.isArray(value) ? value : []).filter(
      (item) => (String(jsonPath(item, `.${path}`) ?? '') === wanted) === (operator === '=='),
    );
  }
  if (/^-?\d+$/.test(inner)) {
    const item = Array.isArray(value) ? value.at(Number(inner)) : undefined;
    return item === undefined ? [] : [item];
  }
  return field(value, inner.replace(/^["']|["']$/g, ''));
}

function field(value: Json, name: string): Json[] {
  if (name === '*') return follow(value, '[*]');
  const inner = isObject(value) ? value[name] : undefined;
  return inner === undefined || inner === null ? [] : [inner];
}
