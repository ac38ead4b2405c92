import type { ServerResponse } from 'node:http';
import type { KubeObject } from '../../../api/meta.ts';
import type { ServerContext } from '../context.ts';
import { badRequest, StatusError } from '../errors.ts';
import type { ResourceRequest } from '../http/request.ts';
import { groupVersionOf } from '../kinds.ts';
import { compileSelectors } from '../selectors.ts';
import type { Change, Stored } from '../storage/store.ts';
import { toTable, wantsTable } from '../table/table.ts';
import { textOf } from './list.ts';

const BOOKMARK_EVERY = 10_000;
/** A watcher that reads too slowly is cut off; it lists again, as from the real server. */
const MAX_BUFFERED = 64 * 1024 * 1024;

/** Streams events until the client goes, the timeout is over, or the server stops. */
export function watch(context: ServerContext, request: ResourceRequest, response: ServerResponse): void {
  const { served, namespace, name, query, accept, signal } = request;
  const { store } = context;
  const fields = [query.get('fieldSelector'), name ? `metadata.name=${name}` : ''].filter(Boolean).join(',');
  const selects = compileSelectors(
    served.kind,
    query.get('labelSelector'),
    fields || null,
    served.selectableFields,
  );
  const visible = (object: KubeObject): boolean =>
    (!namespace || object.metadata.namespace === namespace) && (!selects || selects(object));
  const version = query.get('resourceVersion') ?? '';
  if (version && !/^\d+$/.test(version))
    throw badRequest(
      `Invalid value: "${version}": resourceVersion is a number that a list or an object gave`,
    );
  const bookmarks = query.get('allowWatchBookmarks') === 'true';
  const initial = query.get('sendInitialEvents') === 'true';
  const from = version === '' || version === '0' || initial ? undefined : Number(version);
  const table = wantsTable(accept);
  let columnsSent = false;

  const render = (stored: Stored): string => {
    if (!table) return textOf(stored, request);
    const text = JSON.stringify(
      toTable(
        served,
        [stored.object],
        { resourceVersion: stored.object.metadata.resourceVersion },
        context.now(),
        !columnsSent,
        query.get('includeObject') ?? 'Metadata',
      ),
    );
    columnsSent = true;
    return text;
  };
  const send = (type: string, json: string): void => {
    response.write(`{"type":"${type}","object":${json}}\n`);
    if (response.writableLength > MAX_BUFFERED) response.destroy();
  };
  const bookmark = (annotations?: Record<string, string>): void => {
    const metadata = {
      resourceVersion: String(store.revision),
      creationTimestamp: null,
      ...(annotations ? { annotations } : {}),
    };
    const object = { kind: served.kind, apiVersion: groupVersionOf(served), metadata };
    send(
      'BOOKMARK',
      JSON.stringify(
        table ? { ...toTable(served, [], metadata, 0, false), rows: [{ cells: [], object }] } : object,
      ),
    );
  };
  const deliver = ({ type, current, previous, revision }: Change): void => {
    const now = type !== 'DELETED' && visible(current.object);
    const before = previous !== undefined && visible(previous.object);
    if (now) send(before ? 'MODIFIED' : 'ADDED', render(current));
    else if (before) {
      // An object that leaves the selection is deleted for this watcher: its last matching state at the new revision.
      if (type === 'DELETED') {
        send('DELETED', render(current));
        return;
      }
      const object = {
        ...previous.object,
        metadata: { ...previous.object.metadata, resourceVersion: String(revision) },
      };
      send('DELETED', render({ object, json: JSON.stringify(object), revision }));
    }
  };

  let missed: Change[] = [];
  let failure: StatusError | undefined;
  if (from !== undefined)
    try {
      missed = store.since(served.storage, from);
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      failure = error;
    }
  response.writeHead(200, { 'content-type': 'application/json', 'transfer-encoding': 'chunked' });
  response.flushHeaders();
  if (failure) {
    send('ERROR', JSON.stringify(failure));
    response.end();
    return;
  }
  if (from === undefined)
    for (const stored of store.list(served.storage, namespace || undefined))
      if (visible(stored.object)) send('ADDED', render(stored));
  if (initial && bookmarks) bookmark({ 'k8s.io/initial-events-end': 'true' });
  for (const change of missed) deliver(change);

  const unsubscribe = store.subscribe(served.storage, deliver);
  const timer = bookmarks ? setInterval(() => bookmark(), BOOKMARK_EVERY) : undefined;
  const seconds = Number(query.get('timeoutSeconds') ?? 0) || 1800 + Math.random() * 1800;
  const stop = (): void => {
    unsubscribe();
    clearInterval(timer);
    clearTimeout(timeout);
    signal.removeEventListener('abort', end);
  };
  const end = (): void => {
    // Its end may wait behind what the client has not read yet.
    stop();
    if (bookmarks && !response.destroyed) bookmark();
    response.end();
  };
  const timeout = setTimeout(end, seconds * 1000);
  signal.addEventListener('abort', end, { once: true });
  response.on('close', stop);
}
