import { sameJson } from '../../../lib/same-json.ts';
import { StatusError } from '../errors.ts';
import { clone, isObject, type Json } from '../json.ts';

export interface Operation {
  op: string;
  path: string;
  from?: string;
  value?: Json;
}

const refuse = (message: string): StatusError =>
  new StatusError(
    422,
    'Invalid',
    `the server rejected our request due to an error in our request: ${message}`,
    {},
  );

/** RFC 6902. Returns the patched copy. */
export function applyJsonPatch(document: Json, operations: Operation[]): Json {
  if (!Array.isArray(operations)) throw refuse('a JSON patch is a list of operations');
  const root = { value: clone(document) };
  for (const operation of operations) apply(root, operation);
  return root.value;
}

function apply(root: { value: Json }, { op, path, from, value }: Operation): void {
  switch (op) {
    case 'add':
      put(root, path, clone(value ?? null), true);
      return;
    case 'replace':
      read(root.value, path);
      put(root, path, clone(value ?? null), false);
      return;
    case 'remove':
      remove(root, path);
      return;
    case 'copy':
      put(root, path, clone(read(root.value, from ?? '')), true);
      return;
    case 'move': {
      const moved = read(root.value, from ?? '');
      remove(root, from ?? '');
      put(root, path, moved, true);
      return;
    }
    case 'test':
      if (!sameJson(readOr(root.value, path), value ?? null)) throw refuse(`testing path ${path} failed`);
      return;
    default:
      throw refuse(`unknown operation "${op}"`);
  }
}

function tokens(path: string): string[] {
  if (path === '') return [];
  if (!path.startsWith('/')) throw refuse(`"${path}" is not a JSON pointer: it starts with /`);
  return path
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function step(container: Json, token: string, path: string): Json {
  if (Array.isArray(container)) {
    const index = Number(token);
    if (/^\d+$/.test(token) && index < container.length) return container[index]!;
  } else if (isObject(container) && token in container) return container[token]!;
  throw refuse(`path "${path}" does not exist`);
}

const read = (document: Json, path: string): Json =>
  tokens(path).reduce((inner, token) => step(inner, token, path), document);

function readOr(document: Json, path: string): Json {
  try {
    return read(document, path);
  } catch {
    return null;
  }
}

function parentOf(document: Json, path: string): { parent: Json; last: string } {
  const all = tokens(path);
  const last = all.pop()!;
  return { parent: all.reduce((inner, token) => step(inner, token, path), document), last };
}

function put(root: { value: Json }, path: string, value: Json, insert: boolean): void {
  if (path === '') {
    root.value = value;
    return;
  }
  const { parent, last } = parentOf(root.value, path);
  if (Array.isArray(parent)) {
    const index = last === '-' ? parent.length : Number(last);
    if (!Number.isInteger(index) || index < 0 || index > parent.length)
      throw refuse(`path "${path}" is out of range`);
    parent.splice(index, insert ? 0 : 1, value);
  } else if (isObject(parent)) parent[last] = value;
  else throw refuse(`path "${path}" does not exist`);
}

function remove(root: { value: Json }, path: string): void {
  read(root.value, path);
  const { parent, last } = parentOf(root.value, path);
  if (Array.isArray(parent)) parent.splice(Number(last), 1);
  else delete (parent as { [key: string]: Json })[last];
}
