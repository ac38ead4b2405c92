import type { KubeObject } from '../../../api/meta.ts';
import { isObject } from '../json.ts';
import type { Served } from '../kinds.ts';
import { AGE, age, COLUMNS, type Column, NAME } from './columns.ts';
import { jsonPath } from './jsonpath.ts';

export const wantsTable = (accept: string): boolean =>
  /as=Table/.test(accept) && /g=meta\.k8s\.io/.test(accept);

function columnsFor(served: Served): Column[] {
  if (served.builtin) return COLUMNS[`${served.group}/${served.kind}`] ?? [NAME, AGE];
  if (!served.columns) return [NAME, AGE];
  return [
    NAME,
    ...served.columns.map(
      ({ jsonPath: path, ...definition }): Column => ({
        ...definition,
        priority: definition.priority ?? 0,
        cell: (object, now) => printed(jsonPath(object, path), definition.type, now),
      }),
    ),
  ];
}

/** Cells of custom columns: dates become ages, what is missing stays empty. */
function printed(value: unknown, type: string, now: number): unknown {
  if (value === undefined || value === null)
    return type === 'date' ? '<unknown>' : type === 'string' ? '' : null;
  if (type === 'date') return age(value, now);
  if (type === 'integer' || type === 'number') return typeof value === 'number' ? value : Number(value);
  if (type === 'boolean') return value;
  return isObject(value) || Array.isArray(value) ? JSON.stringify(value) : String(value);
}

/** A `meta.k8s.io/v1` Table of objects. */
export function toTable(
  served: Served,
  objects: KubeObject[],
  metadata: object,
  now: number,
  withColumns = true,
  include = 'Metadata',
): object {
  const columns = columnsFor(served);
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata,
    columnDefinitions: withColumns
      ? columns.map(({ name, type, format = '', description = '', priority = 0 }) => ({
          name,
          type,
          format,
          description: description || name,
          priority,
        }))
      : null,
    rows: objects.map((object) => ({
      cells: columns.map(({ cell }) => cell(object, now)),
      ...(include === 'None'
        ? {}
        : {
            object:
              include === 'Object'
                ? object
                : { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata },
          }),
    })),
  };
}
