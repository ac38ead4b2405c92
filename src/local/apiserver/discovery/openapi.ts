import type { Served } from '../kinds.ts';
import type { Registry } from '../registry.ts';
import type { Schema } from '../schema/schema.ts';

const pathOf = (group: string, version: string): string =>
  group ? `apis/${group}/${version}` : `api/${version}`;

/** `/openapi/v3`: one document per group and version. */
export function openApiIndex(registry: Registry): object {
  const paths = [...new Set(registry.all().map(({ group, version }) => pathOf(group, version)))];
  return {
    paths: Object.fromEntries(
      paths.map((path) => [
        path,
        { serverRelativeURL: `/openapi/v3/${path}?hash=${registry.version}-${process.pid}` },
      ]),
    ),
  };
}

/** The OpenAPI v3 document of one group and version: what kubectl's apply, explain and validation read. */
export function openApiDocument(registry: Registry, group: string, version: string): object | undefined {
  const all = registry.all().filter((served) => served.group === group && served.version === version);
  if (all.length === 0) return undefined;
  const components: Record<string, object> = {};
  const paths: Record<string, object> = {};
  for (const served of all) {
    const name = served.schema.ref
      ? definitionName(served.schema.ref)
      : `${[...served.group.split('.').reverse(), served.version, served.kind].join('.')}`;
    const gvk = [{ group: served.group, version: served.version, kind: served.kind }];
    if (!served.schema.ref || !components[name]) components[name] = {};
    components[name] = {
      ...(render(served.schema, components, true) as object),
      type: 'object',
      'x-kubernetes-group-version-kind': gvk,
    };
    Object.assign(paths, pathsFor(served, name));
  }
  return {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: 'v1.32.0+weir' },
    paths,
    components: { schemas: components },
  };
}

const definitionName = (ref: string): string => `io.k8s.api.${ref}`;

function render(schema: Schema, components: Record<string, object>, inline = false): object {
  const { ref, properties, items, additionalProperties, allOf, anyOf, oneOf, not, ...rest } = schema;
  if (ref && !inline) {
    const name = definitionName(ref);
    if (!components[name]) {
      components[name] = {};
      components[name] = render(schema, components, true);
    }
    return {
      allOf: [{ $ref: `#/components/schemas/${name}` }],
      ...(schema.description ? { description: schema.description } : {}),
      default: {},
    };
  }
  const many = (list: Schema[] | undefined) => list?.map((each) => render(each, components));
  return {
    ...rest,
    ...(rest['x-kubernetes-preserve-unknown-fields'] && !rest.type ? { type: 'object' } : {}),
    ...(rest['x-kubernetes-int-or-string'] && !rest.type
      ? { oneOf: [{ type: 'integer' }, { type: 'string' }] }
      : {}),
    ...(properties
      ? {
          properties: Object.fromEntries(
            Object.entries(properties).map(([key, inner]) => [key, render(inner, components)]),
          ),
        }
      : {}),
    ...(items ? { items: render(items, components) } : {}),
    ...(additionalProperties === undefined
      ? {}
      : {
          additionalProperties:
            typeof additionalProperties === 'object'
              ? render(additionalProperties, components)
              : additionalProperties,
        }),
    ...(allOf ? { allOf: many(allOf) } : {}),
    ...(anyOf ? { anyOf: many(anyOf) } : {}),
    ...(oneOf ? { oneOf: many(oneOf) } : {}),
    ...(not ? { not: render(not, components) } : {}),
  };
}

const query = (name: string, type: string): object => ({
  name,
  in: 'query',
  schema: { type, uniqueItems: true },
});
const WRITE = [
  query('dryRun', 'string'),
  query('fieldManager', 'string'),
  query('fieldValidation', 'string'),
];

function pathsFor(served: Served, name: string): Record<string, object> {
  const gvk = { group: served.group, version: served.version, kind: served.kind };
  const base = `/${pathOf(served.group, served.version)}${served.namespaced ? '/namespaces/{namespace}' : ''}/${served.plural}`;
  const content = { '*/*': { schema: { $ref: `#/components/schemas/${name}` } } };
  const operation = (action: string, parameters: object[] = [], body = false): object => ({
    'x-kubernetes-action': action,
    'x-kubernetes-group-version-kind': gvk,
    parameters,
    ...(body ? { requestBody: { content, required: true } } : {}),
    responses: {
      200: {
        description: 'OK',
        content: { 'application/json': { schema: { $ref: `#/components/schemas/${name}` } } },
      },
    },
  });
  if (served.virtual) return { [base]: { post: operation('post', WRITE, true) } };
  return {
    [base]: {
      get: operation('list'),
      post: operation('post', WRITE, true),
      delete: operation('deletecollection'),
    },
    [`${base}/{name}`]: {
      get: operation('get'),
      put: operation('put', WRITE, true),
      patch: operation('patch', [...WRITE, query('force', 'boolean')], true),
      delete: operation('delete', [query('dryRun', 'string')]),
    },
  };
}
