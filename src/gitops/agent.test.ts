import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { KubeObject } from '../api/meta.ts';
import { plainKubeconfig } from '../kube/fixtures.ts';
import { connect } from '../kube/index.ts';
import type { KubeClient } from '../kube/types.ts';
import { type AgentEvent, runAgent } from './agent.ts';

/** As much of an API server as an agent sees: objects by path, apply as replacement, dry runs, a kind it refuses. */
class Cluster {
  readonly objects = new Map<string, KubeObject>();
  /** Every write, in order: `PATCH /path` or `DELETE /path`. */
  readonly writes: string[] = [];
  readonly #server: Server;
  #version = 0;

  constructor() {
    this.#server = createServer(async (request, response) => {
      const { status, body } = await this.#answer(request);
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
  }

  async start(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  stop(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  names(): string[] {
    return [...this.objects.keys()]
      .filter((path) => !path.includes('weir-gitops'))
      .map((path) => path.split('/').at(-1)!);
  }

  async #answer(request: IncomingMessage): Promise<{ status: number; body: object }> {
    const url = new URL(request.url ?? '/', 'http://cluster');
    const path = url.pathname;
    let text = '';
    for await (const chunk of request) text += chunk;
    const reason = (status: number, code: string, message: string) => ({
      status,
      body: { kind: 'Status', status: 'Failure', code: status, reason: code, message },
    });
    if (path === '/apis/example.com/v1') {
      return { status: 200, body: { resources: [{ name: 'widgets', kind: 'Widget', namespaced: true }] } };
    }
    const live = this.objects.get(path);
    if (request.method === 'GET') {
      return live ? { status: 200, body: live } : reason(404, 'NotFound', `${path} not found`);
    }
    if (request.method === 'DELETE') {
      this.writes.push(`DELETE ${path}`);
      this.objects.delete(path);
      return { status: 200, body: live ?? {} };
    }
    const object = JSON.parse(text) as KubeObject;
    if (object.metadata.labels?.refuse) return reason(422, 'Invalid', 'spec.refused: Invalid value');
    const metadata = { uid: path, ...live?.metadata, ...object.metadata };
    const next = { ...object, metadata: { ...metadata, resourceVersion: String(++this.#version) } };
    if (url.searchParams.get('dryRun') !== 'All') {
      this.writes.push(`PATCH ${path}`);
      this.objects.set(path, next);
    }
    return { status: 200, body: next };
  }
}

const object = (kind: string, name: string, more = '') =>
  `apiVersion: v1\nkind: ${kind}\nmetadata:\n  name: ${name}\n  ${more}\n---\n`;

let root: string;
let work: string;
let cluster: Cluster;
let client: KubeClient;
let stop: AbortController;
let running: Promise<void>;
let events: AgentEvent[];
let heard: () => void;

const git = (...args: string[]) =>
  execFileSync('git', ['-C', work, '-c', 'user.name=Ada', '-c', 'user.email=a@example.com', ...args], {
    stdio: 'pipe',
  });

function commit(files: Record<string, string | undefined>): void {
  for (const [name, text] of Object.entries(files)) {
    if (text === undefined) rmSync(join(work, name));
    else {
      mkdirSync(dirname(join(work, name)), { recursive: true });
      writeFileSync(join(work, name), text);
    }
  }
  git('add', '--all');
  git('commit', '--quiet', '-m', Object.keys(files).join(' '));
}

function start({ driftMs = 60_000, path = '.' } = {}): void {
  running = runAgent(
    {
      client,
      repo: work,
      branch: 'main',
      path,
      name: 'test',
      namespace: 'default',
      intervalMs: 50,
      driftMs,
      healthTimeoutMs: 10_000,
      onEvent: (event) => {
        events.push(event);
        heard();
      },
    },
    stop.signal,
  );
}

/** The next event of a type, from those not yet taken. */
async function next<T extends AgentEvent['type']>(type: T): Promise<Extract<AgentEvent, { type: T }>> {
  for (;;) {
    const at = events.findIndex((event) => event.type === type);
    if (at >= 0) return events.splice(0, at + 1)[at] as Extract<AgentEvent, { type: T }>;
    await new Promise<void>((resolve) => {
      heard = resolve;
    });
  }
}

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'weir-agent-'));
  work = join(root, 'work');
  execFileSync('git', ['init', '--quiet', '--initial-branch=main', work]);
  cluster = new Cluster();
  client = await connect({ kubeconfig: plainKubeconfig(await cluster.start(), 'test') });
  stop = new AbortController();
  events = [];
  heard = () => {};
});
afterEach(async () => {
  stop.abort();
  await running;
  await cluster.stop();
  rmSync(root, { recursive: true, force: true });
});

describe('the agent', () => {
  test('applies a commit, says when it is healthy, follows the next one and removes what it removed', async () => {
    commit({
      'a.yaml': object('ConfigMap', 'a') + object('Namespace', 'shop'),
      'b.yaml': object('ConfigMap', 'b'),
    });
    start();
    expect(await next('applied')).toMatchObject({
      objects: 3,
      pruned: 0,
      problems: [],
      commit: { subject: 'a.yaml b.yaml' },
    });
    await next('healthy');
    expect(cluster.writes[0]).toBe('PATCH /api/v1/namespaces/shop');
    commit({ 'b.yaml': undefined, 'c.yaml': object('ConfigMap', 'c') });
    expect(await next('applied')).toMatchObject({ objects: 3, pruned: 1, problems: [] });
    expect(cluster.names().sort()).toEqual(['a', 'c', 'shop']);
  });

  test('what is annotated stays, and a restarted agent still knows what to remove', async () => {
    const keep = 'annotations: {gitops.weir.dev/prune: disabled}';
    commit({
      'a.yaml': object('ConfigMap', 'a'),
      'b.yaml': object('ConfigMap', 'b'),
      'keep.yaml': object('ConfigMap', 'keep', keep),
    });
    start();
    await next('applied');
    stop.abort();
    await running;
    stop = new AbortController();
    commit({ 'b.yaml': undefined, 'keep.yaml': undefined });
    start();
    expect(await next('applied')).toMatchObject({ pruned: 1 });
    expect(cluster.names().sort()).toEqual(['a', 'keep']);
  });

  test('a bad manifest stops no other, is reported with its place, and nothing is removed meanwhile', async () => {
    commit({ 'a.yaml': object('ConfigMap', 'a'), 'b.yaml': object('ConfigMap', 'b') });
    start();
    await next('applied');
    commit({
      'a.yaml': 'kind: {oops',
      'c.yaml': object('ConfigMap', 'c') + object('ConfigMap', 'd', 'labels: {refuse: "1"}'),
    });
    const { problems } = await next('applied');
    expect(problems.map(({ source, object: what }) => [source.file, source.document, what])).toEqual(
      expect.arrayContaining([
        ['a.yaml', 1, undefined],
        ['c.yaml', 2, 'ConfigMap d'],
      ]),
    );
    expect(cluster.names().sort()).toEqual(['a', 'b', 'c']);
    commit({ 'a.yaml': object('ConfigMap', 'a'), 'c.yaml': object('ConfigMap', 'c') });
    expect(await next('applied')).toMatchObject({ problems: [] });
  });

  test('drift is put back; nothing is written where the dry run equals', async () => {
    commit({
      'a.yaml': `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: "1"}\n---\n${object('ConfigMap', 'b')}`,
    });
    start({ driftMs: 100 });
    await next('healthy');
    const path = '/api/v1/namespaces/default/configmaps/a';
    cluster.writes.length = 0;
    cluster.objects.set(path, { ...cluster.objects.get(path)!, data: { x: 'edited' } });
    expect(await next('drift')).toMatchObject({ corrected: 1 });
    expect(cluster.writes).toEqual([`PATCH ${path}`]);
    expect(cluster.objects.get(path)?.data).toEqual({ x: '1' });
  });

  test('finds the URL of kinds it does not know; an unserved kind is a problem that says what to install', async () => {
    const widget = 'apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: shop}\n---\n';
    commit({ 'w.yaml': widget + widget.replace('Widget', 'Gadget') });
    start();
    const { problems } = await next('applied');
    expect(cluster.objects.has('/apis/example.com/v1/namespaces/shop/widgets/w')).toBe(true);
    expect(problems).toMatchObject([
      { object: 'Gadget shop/w', message: expect.stringContaining('CustomResourceDefinition') },
    ]);
  });

  test('a repository without the branch is an error that goes away with the first commit', async () => {
    start();
    expect((await next('source-error')).message).toContain('has no branch "main"');
    commit({ 'a.yaml': object('ConfigMap', 'a') });
    expect(await next('applied')).toMatchObject({ objects: 1 });
  });
});

const noKubectl = spawnSync('kubectl', ['version', '--client']).status !== 0;
if (noKubectl) {
  if (process.env.WEIR_CI === '1') throw new Error('WEIR_CI=1, and kubectl is not installed');
  console.warn('kubectl is not installed: kustomizations are not rendered here');
}

(noKubectl ? describe.skip : describe)('a folder with a kustomization', () => {
  const deployment = [
    'apiVersion: apps/v1',
    'kind: Deployment',
    'metadata: {name: web}',
    'spec:',
    '  template:',
    '    spec:',
    '      containers: [{name: app, image: "web:latest", envFrom: [{configMapRef: {name: settings}}]}]',
  ].join('\n');
  const overlay = (tag: string, level: string) =>
    [
      'resources: [../../base]',
      'namespace: shop',
      `images: [{name: web, newName: registry.example.com/web, newTag: "${tag}"}]`,
      `configMapGenerator: [{name: settings, literals: [level=${level}], files: [banner.txt]}]`,
    ].join('\n');
  const settings = () => cluster.names().filter((name) => name.startsWith('settings-'));
  const container = () =>
    (
      cluster.objects.get('/apis/apps/v1/namespaces/shop/deployments/web')!.spec as {
        template: { spec: { containers: { image: string; envFrom: object[] }[] } };
      }
    ).template.spec.containers[0];

  test('overlay, images and generated ConfigMaps are what kubectl makes of them, commit by commit', async () => {
    commit({
      'base/kustomization.yaml': 'resources: [web.yaml]',
      'base/web.yaml': deployment,
      'overlays/prod/kustomization.yaml': overlay('v1', 'info'),
      'overlays/prod/banner.txt': 'hello',
      'overlays/prod/unlisted.yaml': object('ConfigMap', 'unlisted'),
    });
    start({ path: 'overlays/prod' });
    expect(await next('applied')).toMatchObject({ objects: 2, problems: [] });
    const [first] = settings();
    expect(cluster.names().sort()).toEqual([first, 'web']);
    expect(container()).toMatchObject({
      image: 'registry.example.com/web:v1',
      envFrom: [{ configMapRef: { name: first } }],
    });

    commit({ 'overlays/prod/kustomization.yaml': overlay('v2', 'debug') });
    expect(await next('applied')).toMatchObject({ objects: 2, pruned: 1, problems: [] });
    const [second, ...others] = settings();
    expect(others).toEqual([]);
    expect(second).not.toBe(first);
    expect(container()).toMatchObject({
      image: 'registry.example.com/web:v2',
      envFrom: [{ configMapRef: { name: second } }],
    });
  }, 20_000);

  test('what cannot be rendered is a problem that names the cause; nothing is removed until it can', async () => {
    commit({
      'kustomization.yaml':
        'resources: [web.yaml]\nconfigMapGenerator: [{name: settings, files: [banner.txt]}]',
      'web.yaml': deployment,
      'banner.txt': 'hello',
    });
    start();
    expect(await next('applied')).toMatchObject({ objects: 2, problems: [] });
    const before = cluster.names().sort();
    // A file of the commit before must not be found either.
    commit({ 'banner.txt': undefined });
    const { problems } = await next('applied');
    expect(problems).toMatchObject([
      { source: { file: 'kustomization.yaml' }, message: expect.stringContaining('banner.txt') },
    ]);
    expect(cluster.names().sort()).toEqual(before);
    commit({ 'banner.txt': 'back' });
    expect(await next('applied')).toMatchObject({ objects: 2, problems: [], pruned: 1 });
  }, 20_000);
});
