import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { KubeObject } from '../../api/meta.ts';
import { connect } from '../../kube/index.ts';
import { FakeApi } from '../../mesh/fake-api.ts';
import { tapQuery } from '../tap.ts';
import { follow } from './follow.ts';
import { reach } from './reach.ts';
import { parseTarget, proxiesOf } from './target.ts';
import { header, line, type Seen } from './view.ts';

test.each([
  ['deploy/web', { kind: 'deploy', name: 'web' }],
  ['pods/web-1', { kind: 'pod', name: 'web-1' }],
  ['web-1', { kind: 'pod', name: 'web-1' }],
])('%s', (text, expected) => {
  expect(parseTarget(text)).toEqual(expected);
});
test.each(['svc/web', 'deploy/', 'deploy/a/b'])('%s is no target', (text) => {
  expect(() => parseTarget(text)).toThrow('write deploy/NAME or pod/NAME');
});

function pod(name: string, more: { injected?: boolean; phase?: string } = {}): KubeObject {
  const { injected = true, phase = 'Running' } = more;
  return {
    metadata: {
      name,
      namespace: 'shop',
      labels: { 'pod-template-hash': 'a1' },
      annotations: injected ? { 'weir.dev/injected': '0.1.0' } : {},
      ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-a1', uid: '1' }],
    },
    spec: {
      containers: [{ name: 'app' }],
      initContainers: [{ name: 'weir-proxy', ports: [{ name: 'weir-admin', containerPort: 4191 }] }],
    },
    status: { phase, podIP: '10.0.0.7' },
  };
}

describe('the proxies of a workload', () => {
  const target = { kind: 'deploy', name: 'web' } as const;

  test('are those that run, in order', () => {
    const pods = [
      pod('web-b'),
      pod('web-a'),
      pod('web-c', { phase: 'Pending' }),
      pod('web-d', { injected: false }),
    ];
    expect(proxiesOf(target, 'shop', pods).map((each) => each.pod)).toEqual(['web-a', 'web-b']);
    expect(proxiesOf({ kind: 'pod', name: 'web-b' }, 'shop', pods)).toEqual([
      { pod: 'web-b', ip: '10.0.0.7', adminPort: 4191 },
    ]);
  });

  test.each([
    [[], 'there is no pod of deploy web in namespace shop'],
    [[pod('web-a', { injected: false })], 'weir.dev/inject=enabled'],
    [[pod('web-a', { phase: 'Pending' })], 'is running'],
  ])('or it is said what is missing', (pods, message) => {
    expect(() => proxiesOf(target, 'shop', pods)).toThrow(message);
  });
});

describe('following a Deployment', () => {
  const ended = (signal: AbortSignal) =>
    new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
  const apis: FakeApi[] = [];
  afterEach(() => {
    for (const api of apis.splice(0)) api.stop();
  });

  async function given(...pods: KubeObject[]) {
    const api = await new FakeApi().start();
    apis.push(api);
    for (const each of pods) api.set('/api/v1/pods', each);
    const stop = new AbortController();
    const [watched, problems] = [[] as string[], [] as string[]];
    let watch = (_pod: string) => ended(stop.signal);
    const client = await connect({ kubeconfig: api.kubeconfig });
    const following = follow({
      client,
      target: parseTarget('deploy/web'),
      namespace: 'shop',
      signal: stop.signal,
      watch: ({ pod }) => {
        watched.push(pod);
        return watch(pod);
      },
      problem: (message) => void problems.push(message),
    });
    return { api, stop, watched, problems, following, answer: (by: typeof watch) => (watch = by) };
  }

  const until = async (done: () => boolean) => {
    for (const deadline = Date.now() + 10_000; !done(); ) {
      if (Date.now() > deadline) throw new Error(`not within 10 s: ${done}`);
      await new Promise(setImmediate);
    }
  };

  test('takes in each pod that starts, once, and one that comes back under its name', async () => {
    const { api, stop, watched, following } = await given(pod('web-a'));
    await until(() => watched.length === 1);
    api.set('/api/v1/pods', pod('web-b', { phase: 'Pending' }));
    api.set('/api/v1/pods', pod('web-c', { injected: false }));
    api.set('/api/v1/pods', pod('web-b'));
    api.set('/api/v1/pods', pod('web-b'));
    await until(() => watched.length === 2);
    // Once it hears of this one it watches: this API keeps nothing for whoever comes later.
    await until(() => {
      api.set('/api/v1/pods', pod('web-d'));
      return watched.includes('web-d');
    });
    api.delete('/api/v1/pods', 'shop/web-b');
    const again = pod('web-b');
    api.set('/api/v1/pods', { ...again, metadata: { ...again.metadata, uid: 'another' } });
    await until(() => watched.length === 4);
    expect(watched).toEqual(['web-a', 'web-b', 'web-d', 'web-b']);
    stop.abort();
    await following;
  });

  test('one that cannot be reached yet is tried again with its next change', async () => {
    const { api, stop, watched, problems, following, answer } = await given(pod('web-a'));
    await until(() => watched.length === 1);
    answer(() => Promise.reject(new Error('refused')));
    api.set('/api/v1/pods', pod('web-b'));
    await until(() => watched.length === 2);
    answer(() => ended(stop.signal));
    await new Promise(setImmediate);
    api.set('/api/v1/pods', pod('web-b'));
    await until(() => watched.length === 3);
    expect(problems).toEqual([]);
    stop.abort();
    await following;
  });

  test('ends where nothing can be watched, and listens to nothing any more', async () => {
    const { api, watched, following, answer } = await given(pod('web-a'));
    answer(async () => {
      await until(() => api.watchers === 1);
      throw new Error('refused');
    });
    await expect(following).rejects.toThrow('refused');
    await until(() => api.watchers === 0);
    api.set('/api/v1/pods', pod('web-b'));
    expect(watched).toEqual(['web-a']);
  });
});

test('filters become a query, and only those that are given', () => {
  expect(tapQuery({ maxRps: '5', to: 'orders.shop', path: '/a b' })).toBe(
    'to=orders.shop&path=%2Fa+b&maxRps=5',
  );
});

describe('a line', () => {
  const seen: Seen = {
    pod: 'web-a1-x',
    time: '2026-01-01T10:20:30.456Z',
    direction: 'inbound',
    method: 'GET',
    authority: 'web',
    path: '/cart',
    protocol: 'HTTP/1.1',
    status: 503,
    cause: 'connect',
    requestBytes: 0,
    responseBytes: 12,
    durationMs: 1.234,
    destination: '10.0.0.7:8080',
    upstream: '10.0.0.7:8080',
    revision: 'a1',
    tls: true,
    skipped: 3,
  };
  const plain = { stream: {} };

  test('has its cells under the titles', () => {
    const text = line(seen, { wide: false, ...plain });
    expect(text).toMatch(
      /^10:20:30\.456 {2}web-a1-x +in +503 +1\.23ms {2}GET +web\/cart {2}\(connect, 3 more not shown\)\n$/,
    );
    const titles = header({ wide: false });
    expect(text.indexOf('web/cart')).toBe(titles.indexOf('REQUEST'));
    expect(text.indexOf('503')).toBe(titles.indexOf('STATUS'));
  });

  test('wide, with where it went', () => {
    const text = line({ ...seen, grpcStatus: 5, status: 200 }, { wide: true, ...plain });
    expect(text).toMatch(/200\/5 .* 10\.0\.0\.7:8080 +a1 +0\/12 +- {2}- {2}\(/);
    const titles = header({ wide: true });
    expect(text.indexOf('10.0.0.7:8080')).toBe(titles.indexOf('UPSTREAM'));
    expect(text.indexOf('0/12')).toBe(titles.indexOf('BYTES'));
  });

  test('cannot steer a terminal', () => {
    expect(line({ ...seen, path: '/\u001b[2J' }, { wide: false, ...plain })).toContain('web/?[2J');
  });
});

test('who looks no longer does not wait for a port-forward that never comes, and leaves none behind', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'weir-tap-'));
  const before = process.env.PATH;
  const pidFile = join(directory, 'pid');
  writeFileSync(
    join(directory, 'kubectl'),
    `#!/bin/sh\necho "$@" > ${pidFile}.args\necho $$ > ${pidFile}\nexec sleep 30\n`,
  );
  chmodSync(join(directory, 'kubectl'), 0o755);
  process.env.PATH = `${directory}${delimiter}${before}`;
  const pid = () => {
    try {
      return Number(readFileSync(pidFile, 'utf8'));
    } catch {
      return 0;
    }
  };
  const runs = () => {
    try {
      return process.kill(pid(), 0);
    } catch {
      return false;
    }
  };
  const eventually = async (done: () => boolean) => {
    for (const deadline = Date.now() + 5000; !done(); ) {
      if (Date.now() > deadline) throw new Error('not within 5 s');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  try {
    const stop = new AbortController();
    const proxy = { pod: 'web-a', ip: '10.0.0.7', adminPort: 4191 };
    const reached = reach(proxy, { namespace: 'shop', flags: { context: 'c' }, signal: stop.signal }).catch(
      (error: Error) => error.message,
    );
    await eventually(() => pid() > 0);
    expect(readFileSync(`${pidFile}.args`, 'utf8')).toBe(
      '--context=c port-forward --address=127.0.0.1 -n shop pod/web-a :4191\n',
    );
    stop.abort();
    expect(await reached).toContain('web-a');
    await eventually(() => !runs());
  } finally {
    process.env.PATH = before;
    rmSync(directory, { recursive: true });
  }
});
