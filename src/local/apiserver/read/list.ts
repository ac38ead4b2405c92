import type { ServerContext } from '../context.ts';
import { badRequest, expired, notFound } from '../errors.ts';
import type { ResourceRequest } from '../http/request.ts';
import { groupVersionOf } from '../kinds.ts';
import { compileSelectors } from '../selectors.ts';
import type { Stored } from '../storage/store.ts';
import { toTable, wantsTable } from '../table/table.ts';
import { resourceOf } from '../write/commit.ts';

/** The JSON of a stored object in the version that was asked for; the cached text when they are the same. */
export function textOf({ object, json }: Stored, { served }: Pick<ResourceRequest, 'served'>): string {
  const apiVersion = groupVersionOf(served);
  return object.apiVersion === apiVersion ? json : JSON.stringify({ ...object, apiVersion });
}

/** GET of one object, as JSON text. */
export function get(context: ServerContext, request: ResourceRequest): string {
  const { served, namespace, name, accept, query } = request;
  const stored = context.store.get(served.storage, namespace, name);
  if (!stored) throw notFound(resourceOf(served), name);
  if (wantsTable(accept))
    return JSON.stringify(
      toTable(
        served,
        [stored.object],
        { resourceVersion: stored.object.metadata.resourceVersion },
        context.now(),
        true,
        query.get('includeObject') ?? 'Metadata',
      ),
    );
  return textOf(stored, request);
}

interface Continuation {
  revision: number;
  after: string;
}

/** GET of a collection, whole or in pages, as JSON text. */
export function list(context: ServerContext, request: ResourceRequest): string {
  const { served, namespace, query, accept } = request;
  const matches = compileSelectors(
    served.kind,
    query.get('labelSelector'),
    query.get('fieldSelector'),
    served.selectableFields,
  );
  let items = context.store.list(served.storage, namespace || undefined);
  if (matches) items = items.filter(({ object }) => matches(object));
  const limit = Number(query.get('limit') ?? 0);
  const from = query.get('continue') ? parseContinue(query.get('continue')!) : undefined;
  const revision = from?.revision ?? context.store.revision;
  if (from) items = items.filter((stored) => keyOf(stored) > from.after);
  const metadata: Record<string, unknown> = { resourceVersion: String(revision) };
  if (limit > 0 && items.length > limit) {
    metadata.remainingItemCount = items.length - limit;
    items = items.slice(0, limit);
    metadata.continue = Buffer.from(JSON.stringify({ revision, after: keyOf(items.at(-1)!) })).toString(
      'base64url',
    );
  }
  if (wantsTable(accept))
    return JSON.stringify(
      toTable(
        served,
        items.map(({ object }) => object),
        metadata,
        context.now(),
        true,
        query.get('includeObject') ?? 'Metadata',
      ),
    );
  const head = JSON.stringify({ kind: `${served.kind}List`, apiVersion: groupVersionOf(served), metadata });
  return `${head.slice(0, -1)},"items":[${items.map((stored) => textOf(stored, request)).join(',')}]}`;
}

/** Sorts as the store lists: by namespace, then name. */
const keyOf = ({ object: { metadata } }: Stored): string =>
  `${metadata.namespace ?? ''}\u0000${metadata.name}`;

function parseContinue(text: string): Continuation {
  try {
    const token = JSON.parse(Buffer.from(text, 'base64url').toString()) as Continuation;
    if (typeof token.revision !== 'number') throw expired('The provided continue parameter is too old');
    return token;
  } catch {
    throw badRequest('continue key is not valid: list again from the start');
  }
}
