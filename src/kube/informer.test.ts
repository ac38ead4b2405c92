import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { kinds } from '../api/kinds.ts';
import type { KubeObject } from '../api/meta.ts';
import { silentLogger } from '../lib/log.ts';
import { type Client, connect } from './client.ts';
import { plainKubeconfig } from './fixtures.ts';
import { type ChangeEvent, Informer } from './informer.ts';
import { writeThrough } from './write-through.ts';

type Answer = (response: ServerResponse, query: URLSearchParams) => void;

/** A server that answers each list and each watch by the next line of its script; the last line repeats. */
class Scripted {
  readonly lists: Answer[];
  readonly watches: Answer[];
  readonly seen: { watch: boolean; query: URLSearchParams }[] = [];
  #server: Server;

  constructor(lists: Answer[], watches: Answer[]) {
    this.lists = lists;
    this.watches = watches;
    this.#server = createServer((request: IncomingMessage, response) => {
      const query = new URL(request.url ?? '/', 'http://x').searchParams;
      const watch = query.get('watch') === 'true';
      this.seen.push({ watch, query });
      const script = watch ? this.watches : this.lists;
      const answer = script.length > 1 ? script.shift()! : script[0]!;
      answer(response, query);
    });
  }

  async connect(): Promise<Client> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const { port } = this.#server.address() as AddressInfo;
    const file = plainKubeconfig(port);
    return connect({ kubeconfig: file, watchIdleMs: 150, callTimeoutMs: 150 });
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

const pod = (name: string, resourceVersion: string, labels: Record<string, string> = {}): KubeObject => ({
  metadata: { name, namespace: 'a', uid: name, resourceVersion, labels },
});

const json = (response: ServerResponse, status: number, body: object, headers = {}) => {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
};
const list =
  (resourceVersion: string, items: KubeObject[], next?: string): Answer =>
  (response) =>
    json(response, 200, { items, metadata: { resourceVersion, ...(next ? { continue: next } : {}) } });
/** By the token that was asked for, so that a page asked for again is the same one. */
const twoPages: Answer = (response, query) =>
  (query.get('continue') === 'next'
    ? list('7', [pod('c', '5')])
    : list('7', [pod('a', '3'), pod('b', '4')], 'next'))(response, query);
const failure =
  (code: number, headers = {}): Answer =>
  (response) =>
    json(response, code, { kind: 'Status', code, message: `scripted ${code}` }, headers);
const stream =
  (events: object[], end: 'close' | 'hang' | 'reset'): Answer =>
  (response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    for (const event of events) response.write(`${JSON.stringify(event)}\n`);
    if (events.length === 0) response.flushHeaders();
    if (end === 'close') response.end();
    if (end === 'reset') setImmediate(() => response.socket?.resetAndDestroy());
  };

let stop: AbortController;
let server: Scripted;
let client: Client;

async function informer(
  lists: Answer[],
  watches: Answer[],
  options: Partial<ConstructorParameters<typeof Informer<KubeObject>>[0]> = {},
): Promise<{ informer: Informer<KubeObject>; events: ChangeEvent<KubeObject>[] }> {
  server = new Scripted(lists, watches);
  client = await server.connect();
  stop = new AbortController();
  const made = new Informer<KubeObject>({
    client,
    kind: kinds.Pod,
    log: silentLogger,
    indexers: { app: ({ metadata }) => [metadata.labels?.app ?? ''] },
    backoff: { initial: 5, max: 20 },
    pageSize: 2,
    ...options,
  });
  const events: ChangeEvent<KubeObject>[] = [];
  made.onChange((event) => events.push(event));
  made.start(stop.signal);
  return { informer: made, events };
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 5000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error('condition not met within 5 s');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

afterEach(() => {
  stop?.abort();
  client?.close();
  server?.stop();
});

describe('informer', () => {
  test('reads every page, then follows the watch from the version of the list', async () => {
    const { informer: pods } = await informer(
      [twoPages],
      [stream([{ type: 'ADDED', object: pod('d', '8') }], 'hang')],
    );
    await pods.synced;
    await until(() => pods.store.size === 4);
    expect(server.seen.some(({ query }) => query.get('continue') === 'next')).toBe(true);
    expect(server.seen.find(({ watch }) => watch)!.query.get('resourceVersion')).toBe('7');
  });

  test('a listener of the first list sees it whole, and counted as synced', async () => {
    const { informer: pods, events } = await informer([twoPages], [stream([], 'hang')]);
    const seen: { synced: boolean; size: number }[] = [];
    pods.onChange(() => seen.push({ synced: pods.hasSynced, size: pods.store.size }));
    await pods.synced;
    expect(events.length).toBe(3);
    expect(seen).toEqual([1, 2, 3].map(() => ({ synced: true, size: 3 })));
  });

  test('a later list is in the store as a whole before any of it is told', async () => {
    const { informer: pods } = await informer(
      [list('1', [pod('a', '1'), pod('b', '1')]), list('20', [pod('b', '19'), pod('c', '20')])],
      [failure(410), stream([], 'hang')],
    );
    await pods.synced;
    const seen: string[][] = [];
    pods.onChange(() => seen.push(pods.store.keys()));
    await until(() => seen.length === 3);
    expect(seen).toEqual([1, 2, 3].map(() => ['a/b', 'a/c']));
  });

  test.each([
    ['cut off after a while, with nothing to tell', stream([], 'reset'), 50],
    ['ended after a while, with nothing to tell', stream([], 'close'), 50],
    ['refused, however slowly', failure(503), 5000],
  ])('watches that are %s are asked for again within %s', async (_, answer, atMost) => {
    let now = 0;
    const slept: number[] = [];
    const clock = {
      now: () => now,
      sleep: async (milliseconds: number) => {
        slept.push(milliseconds);
        await new Promise((resolve) => setImmediate(resolve));
      },
    };
    const lastsFiveSeconds: Answer = (response, query) => {
      now += 5000;
      answer(response, query);
    };
    await informer([list('1', [])], [lastsFiveSeconds], { clock, backoff: { initial: 50, max: 5000 } });
    await until(() => server.seen.filter(({ watch }) => watch).length >= 12);
    expect(Math.max(0, ...slept)).toBeLessThanOrEqual(atMost);
    // Who is refused waits longer and longer.
    if (atMost > 50) expect(Math.max(...slept)).toBeGreaterThan(2000);
  });

  test('a dropped watch resumes at the last event or bookmark, without listing again', async () => {
    const { informer: pods } = await informer(
      [list('1', [])],
      [
        stream(
          [
            { type: 'ADDED', object: pod('a', '2') },
            { type: 'BOOKMARK', object: { metadata: { resourceVersion: '9' } } },
          ],
          'reset',
        ),
        stream([{ type: 'DELETED', object: pod('a', '10') }], 'hang'),
      ],
    );
    await until(() => server.seen.length >= 3 && pods.store.size === 0);
    const watches = server.seen.filter(({ watch }) => watch);
    expect(watches[1]!.query.get('resourceVersion')).toBe('9');
    expect(server.seen.filter(({ watch }) => !watch).length).toBe(1);
  });

  test.each([
    ['as a status', failure(410)],
    ['as an event', stream([{ type: 'ERROR', object: { code: 410, message: 'too old' } }], 'close')],
  ])('410 %s lists again and reports what vanished', async (_name, gone) => {
    const { informer: pods, events } = await informer(
      [list('1', [pod('a', '1'), pod('b', '1')]), list('20', [pod('b', '19')])],
      [gone, stream([], 'hang')],
    );
    await until(() => events.some(({ type }) => type === 'deleted'));
    expect(pods.store.keys()).toEqual(['a/b']);
    expect(events.filter(({ type }) => type === 'deleted').map(({ object }) => object.metadata.name)).toEqual(
      ['a'],
    );
  });

  test('a storm of 5xx and resets ends in the right state', async () => {
    const { informer: pods } = await informer(
      [failure(500), failure(503), failure(502), list('5', [pod('a', '5')])],
      [
        failure(500),
        stream([], 'reset'),
        failure(503),
        stream([{ type: 'MODIFIED', object: pod('a', '6', { app: 'web' }) }], 'hang'),
      ],
    );
    await until(() => pods.store.byIndex('app', 'web').length === 1);
    expect(pods.store.get('a/a')?.metadata.resourceVersion).toBe('6');
  });

  test('429 waits as long as the server asks', async () => {
    const started = Date.now();
    const { informer: pods } = await informer(
      [failure(429, { 'retry-after': '1' }), list('5', [])],
      [stream([], 'hang')],
    );
    await pods.synced;
    expect(Date.now() - started).toBeGreaterThanOrEqual(700);
  });

  test('a list that is older than what is known is refused: nothing goes backwards', async () => {
    const { informer: pods, events } = await informer(
      [list('10', [pod('a', '10')]), list('4', []), list('12', [pod('a', '11')])],
      [failure(410), stream([], 'hang')],
    );
    await until(() => pods.store.get('a/a')?.metadata.resourceVersion === '11');
    expect(events.map(({ type }) => type)).toEqual(['added', 'updated']);
  });

  test('a server that stops answering without closing counts as dead and is asked again', async () => {
    const { informer: pods } = await informer(
      [() => {}, list('1', [])],
      [stream([], 'hang'), stream([{ type: 'ADDED', object: pod('a', '2') }], 'hang')],
    );
    await until(() => pods.store.size === 1);
    expect(server.seen.filter(({ watch }) => !watch).length).toBe(2);
  });

  test('garbage on the stream is an interruption, not a crash', async () => {
    const { informer: pods } = await informer(
      [list('1', [])],
      [
        (response) => response.end('{"type":"ADDED", oops\n'),
        stream([{ type: 'ADDED', object: pod('a', '2') }], 'hang'),
      ],
    );
    await until(() => pods.store.size === 1);
  });
});

describe('what a write was answered', () => {
  const watched = async (options: { fieldSelector?: string } = {}) => {
    const { informer: made } = await informer([list('10', [pod('a', '5')])], [stream([], 'hang')], options);
    await made.synced;
    const told: string[] = [];
    made.onChange(({ type, object }) =>
      told.push(`${type} ${object.metadata.name}@${object.metadata.resourceVersion}`),
    );
    return { made, told };
  };

  test('is known at once, and told once', async () => {
    const { made, told } = await watched();
    made.learn(pod('a', '11'));
    made.learn(pod('b', '12'));
    made.learn(pod('b', '12'));
    expect(told).toEqual(['updated a@11', 'added b@12']);
    expect(made.store.keys().sort()).toEqual(['a/a', 'a/b']);
  });

  test('is not believed where the watch is further on: older, or deleted in between', async () => {
    const { made, told } = await watched();
    made.learn(pod('a', '4'));
    made.learn(pod('gone', '9'));
    expect(told).toEqual([]);
    expect(made.store.keys()).toEqual(['a/a']);
  });

  const again = (resourceVersion: string): KubeObject => ({
    metadata: { ...pod('a', resourceVersion).metadata, uid: 'again' },
  });
  /** A watch whose events are sent by hand. */
  const byHand = () => {
    let opened: ServerResponse | undefined;
    const answer: Answer = (response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.flushHeaders();
      opened = response;
    };
    const send = async (...events: object[]) => {
      await until(() => opened !== undefined);
      for (const event of events) opened!.write(`${JSON.stringify(event)}\n`);
    };
    return { answer, send };
  };
  const texts = (events: ChangeEvent<KubeObject>[]) =>
    events.map(({ type, object: { metadata } }) => `${type} ${metadata.uid}@${metadata.resourceVersion}`);

  test('is not believed of an object in whose place there is another one by now', async () => {
    const { answer, send } = byHand();
    const { informer: pods } = await informer([list('10', [pod('a', '5')])], [answer]);
    await pods.synced;
    await send({ type: 'DELETED', object: pod('a', '12') }, { type: 'ADDED', object: again('13') });
    await until(() => pods.store.get('a/a')?.metadata.uid === 'again');
    pods.learn(pod('a', '11'));
    pods.learn(pod('a', '12'));
    expect(pods.store.get('a/a')!.metadata).toMatchObject({ uid: 'again', resourceVersion: '13' });
  });

  test('stays when a watch that lags tells of the object that was there before', async () => {
    const { answer, send } = byHand();
    const { informer: pods, events } = await informer([list('10', [pod('a', '5')])], [answer]);
    await pods.synced;
    pods.learn(again('13'));
    await send(
      { type: 'MODIFIED', object: pod('a', '11') },
      { type: 'DELETED', object: pod('a', '12') },
      { type: 'ADDED', object: again('13') },
      { type: 'ADDED', object: pod('last', '14') },
    );
    await until(() => pods.store.get('a/last') !== undefined);
    expect(texts(events)).toEqual(['added a@5', 'updated again@13', 'added last@14']);
  });

  test('stays when a list that was made before is told after it', async () => {
    const first = byHand();
    const { informer: pods, events } = await informer(
      [list('10', [pod('a', '5')]), list('11', [pod('a', '5'), pod('c', '11')]), list('20', [])],
      [first.answer, stream([{ type: 'ADDED', object: pod('b', '12') }], 'hang')],
    );
    await pods.synced;
    pods.learn(pod('b', '12'));
    await first.send({ type: 'ERROR', object: { code: 410, message: 'too old' } });
    await until(() => pods.store.get('a/c') !== undefined);
    expect(texts(events)).toEqual(['added a@5', 'added b@12', 'added c@11']);
    expect(pods.store.keys().sort()).toEqual(['a/a', 'a/b', 'a/c']);
  });

  test('is not kept when the copy is of other objects', async () => {
    const { made, told } = await watched({ fieldSelector: 'metadata.name=a' });
    made.learn(pod('b', '12'));
    made.learn(pod('a', '13'));
    expect(told).toEqual(['updated a@13']);
  });

  test('a client that writes through tells the cache of that kind, of what was really written', async () => {
    const told: string[] = [];
    const cache = (kind: typeof kinds.Pod) => ({
      kind,
      learn: ({ metadata }: KubeObject) => void told.push(`${kind.kind} ${metadata.resourceVersion}`),
    });
    server = new Scripted([(response) => json(response, 200, pod('a', '7'))], [stream([], 'hang')]);
    client = await server.connect();
    const through = writeThrough(client, [cache(kinds.Service), cache(kinds.Pod)]);
    const patch = { type: 'merge', body: {} } as const;
    await through.create(kinds.Pod, pod('a', ''));
    await through.replace(kinds.Pod, pod('a', '6'), { subresource: 'status' });
    await through.patch(kinds.Pod, 'a', 'a', patch, { dryRun: true });
    await through.patch(kinds.Pod, 'a', 'a', patch, { subresource: 'scale' });
    await through.apply(kinds.Pod, pod('a', ''), { fieldManager: 'test' });
    expect(told).toEqual(['Pod 7', 'Pod 7', 'Pod 7']);
    expect(await through.find(kinds.Pod, 'a', 'a')).toMatchObject({ metadata: { name: 'a' } });
  });
});
