import { once } from 'node:events';
import { appendFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { deployment, type Harness, startHarness, widgetCrd } from './fixtures/harness.ts';
import { startAdmissionFixture } from './fixtures/webhook.ts';

const DEPLOYMENTS = '/apis/apps/v1/namespaces/default/deployments';
const CONFIGMAPS = '/api/v1/namespaces/default/configmaps';
const configMap = (name: string, labels = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, labels },
  data: { a: '1' },
});

let harness: Harness;
beforeAll(async () => {
  harness = await startHarness();
});
afterAll(() => harness.stop());

describe('writes', () => {
  test('generation counts spec changes only, and /status is isolated', async () => {
    const { body: created } = await harness.call('POST', DEPLOYMENTS, deployment('gen'));
    expect(created.metadata.generation).toBe(1);
    const path = `${DEPLOYMENTS}/gen`;
    const type = 'application/merge-patch+json';
    const labelled = await harness.call(
      'PATCH',
      path,
      { metadata: { labels: { x: 'y' } }, status: { replicas: 9 } },
      { type },
    );
    expect(labelled.body.metadata.generation).toBe(1);
    expect(labelled.body.status.replicas).toBeUndefined();
    const status = await harness.call(
      'PATCH',
      `${path}/status`,
      { status: { replicas: 2 }, spec: { replicas: 7 } },
      { type },
    );
    expect(status.body).toMatchObject({
      metadata: { generation: 1 },
      spec: { replicas: 2 },
      status: { replicas: 2 },
    });
    const scaled = await harness.call('PATCH', `${path}/scale`, { spec: { replicas: 5 } }, { type });
    expect(scaled.body).toMatchObject({
      kind: 'Scale',
      spec: { replicas: 5 },
      status: { replicas: 2, selector: 'app=gen' },
    });
    expect((await harness.call('GET', path)).body.metadata.generation).toBe(2);
  });

  test('stale writes, wrong uids, immutable selectors and equal writes', async () => {
    const { body } = await harness.call('POST', DEPLOYMENTS, deployment('stale'));
    const path = `${DEPLOYMENTS}/stale`;
    const same = await harness.call('PUT', path, body);
    expect(same.body.metadata.resourceVersion).toBe(body.metadata.resourceVersion);
    await harness.call('PUT', path, { ...body, spec: { ...body.spec, replicas: 3 } });
    const lost = await harness.call('PUT', path, { ...body, spec: { ...body.spec, replicas: 4 } });
    expect(lost).toMatchObject({ status: 409, body: { kind: 'Status', reason: 'Conflict' } });
    expect(lost.body.message).toContain('the object has been modified');
    const selector = await harness.call(
      'PATCH',
      path,
      {
        spec: {
          selector: { matchLabels: { app: 'stale', b: 'c' } },
          template: { metadata: { labels: { b: 'c' } } },
        },
      },
      { type: 'application/merge-patch+json' },
    );
    expect(selector).toMatchObject({
      status: 422,
      body: { details: { causes: [{ field: 'spec.selector' }] } },
    });
    expect((await harness.call('DELETE', path, { preconditions: { uid: 'other' } })).status).toBe(409);
    expect((await harness.call('POST', DEPLOYMENTS, deployment('stale'))).body.reason).toBe('AlreadyExists');
  });

  test('dry runs store nothing', async () => {
    expect((await harness.call('POST', `${CONFIGMAPS}?dryRun=All`, configMap('dry'))).status).toBe(201);
    expect((await harness.call('GET', `${CONFIGMAPS}/dry`)).status).toBe(404);
  });

  test('apply removes what is no longer applied, unless another manager owns it', async () => {
    const path = `${CONFIGMAPS}/applied?fieldManager=`;
    const type = 'application/apply-patch+yaml';
    const apply = (manager: string, data: object) =>
      harness.call(
        'PATCH',
        `${path}${manager}`,
        { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'applied' }, data },
        { type },
      );
    expect((await apply('one', { a: '1', b: '2', c: '3' })).status).toBe(201);
    expect((await apply('two', { b: '2' })).status).toBe(200);
    expect((await apply('two', { a: '9', b: '2' })).body).toMatchObject({
      code: 409,
      details: { causes: [{ reason: 'FieldManagerConflict', field: '.data.a' }] },
    });
    expect((await apply('one', { a: '1' })).body.data).toEqual({ a: '1', b: '2' });
  });

  test('finalizers hold an object; foreground and orphan add theirs', async () => {
    await harness.call('POST', CONFIGMAPS, {
      ...configMap('held'),
      metadata: { name: 'held', finalizers: ['example.com/hold'] },
    });
    const path = `${CONFIGMAPS}/held`;
    const deleted = await harness.call('DELETE', path, { propagationPolicy: 'Foreground' });
    expect(deleted.body.metadata).toMatchObject({
      deletionTimestamp: expect.any(String),
      finalizers: ['example.com/hold', 'foregroundDeletion'],
    });
    await harness.call(
      'PATCH',
      path,
      { metadata: { finalizers: null } },
      { type: 'application/merge-patch+json' },
    );
    expect((await harness.call('GET', path)).status).toBe(404);
  });
});

describe('reads', () => {
  test('pages, selectors and 410', async () => {
    for (let index = 0; index < 5; index += 1)
      await harness.call('POST', CONFIGMAPS, configMap(`page-${index}`, { page: String(index % 2) }));
    const first = await harness.call('GET', `${CONFIGMAPS}?limit=2&labelSelector=page`);
    expect(first.body.items).toHaveLength(2);
    expect(first.body.metadata.remainingItemCount).toBe(3);
    const rest = await harness.call(
      'GET',
      `${CONFIGMAPS}?labelSelector=page&continue=${first.body.metadata.continue}`,
    );
    expect(rest.body.items.map((item: { metadata: { name: string } }) => item.metadata.name)).toEqual([
      'page-2',
      'page-3',
      'page-4',
    ]);
    expect(
      (await harness.call('GET', `${CONFIGMAPS}?labelSelector=page in (1)`.replaceAll(' ', '%20'))).body
        .items,
    ).toHaveLength(2);
    expect(
      (await harness.call('GET', `${CONFIGMAPS}?fieldSelector=metadata.name=page-3`)).body.items,
    ).toHaveLength(1);
    expect((await harness.call('GET', `${CONFIGMAPS}?fieldSelector=data.a=1`)).status).toBe(400);
    await harness.restart();
    const [gone] = await harness.watch(
      `${CONFIGMAPS}?watch=1&resourceVersion=1`,
      (events) => events.length > 0,
    );
    expect(gone).toMatchObject({ type: 'ERROR', object: { code: 410, reason: 'Expired' } });
  });

  test('a selecting watch sees objects enter and leave, resumes, and gets initial events with a bookmark', async () => {
    const { body: list } = await harness.call('GET', CONFIGMAPS);
    const path = `${CONFIGMAPS}?watch=1&labelSelector=on=yes`;
    const seen = harness.watch(
      `${path}&resourceVersion=${list.metadata.resourceVersion}`,
      (events) => events.length === 3,
    );
    const type = 'application/merge-patch+json';
    await harness.call('POST', CONFIGMAPS, configMap('toggle'));
    await harness.call('PATCH', `${CONFIGMAPS}/toggle`, { metadata: { labels: { on: 'yes' } } }, { type });
    await harness.call('PATCH', `${CONFIGMAPS}/toggle`, { data: { a: '2' } }, { type });
    await harness.call('PATCH', `${CONFIGMAPS}/toggle`, { metadata: { labels: { on: 'no' } } }, { type });
    expect((await seen).map((event) => event.type)).toEqual(['ADDED', 'MODIFIED', 'DELETED']);
    const initial = await harness.watch(
      `${CONFIGMAPS}?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan`,
      (events) => events.at(-1)?.type === 'BOOKMARK',
    );
    expect(initial.at(-1)!.object.metadata.annotations).toEqual({ 'k8s.io/initial-events-end': 'true' });
    expect(initial.length).toBeGreaterThan(5);
  });

  test('a watch that is over while its client does not read hears of nothing more, and the server goes on', async () => {
    const data = { a: 'x'.repeat(900_000) };
    // More than the buffers of both ends of a connection hold.
    for (let index = 0; index < 16; index += 1)
      expect((await harness.call('POST', CONFIGMAPS, { ...configMap(`large-${index}`), data })).status).toBe(
        201,
      );
    const { url, ca } = harness.server;
    const headers = { authorization: `Bearer ${harness.server.tokenFor('admin')}` };
    const asked = request(new URL(`${CONFIGMAPS}?watch=1&timeoutSeconds=1`, url), {
      ca,
      agent: false,
      headers,
    });
    const answered = once(asked.end(), 'response') as Promise<[IncomingMessage]>;
    const [response] = await answered;
    // Its second is over, and its end waits behind what nobody reads.
    await setTimeout(1500);
    expect((await harness.call('POST', CONFIGMAPS, configMap('late'))).status).toBe(201);
    let text = '';
    for await (const chunk of response.setEncoding('utf8')) text += chunk;
    expect(text).toContain('"large-15"');
    expect(text).not.toContain('"late"');
    for (let index = 0; index < 16; index += 1) await harness.call('DELETE', `${CONFIGMAPS}/large-${index}`);
  });
});

describe('identity', () => {
  test('tokens: audiences, expiry of a bound pod, review', async () => {
    expect((await harness.call('GET', '/api/v1/pods', undefined, { token: 'nonsense' })).status).toBe(401);
    await harness.call('POST', '/api/v1/namespaces/default/pods', {
      metadata: { name: 'bound' },
      spec: { containers: [{ name: 'a', image: 'weir:1' }] },
    });
    const asked = await harness.call('POST', '/api/v1/namespaces/default/serviceaccounts/default/token', {
      spec: {
        audiences: ['weir-identity'],
        boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'bound' },
      },
    });
    const { token } = asked.body.status;
    const review = (audience: string) =>
      harness
        .call('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
          spec: { token, audiences: [audience] },
        })
        .then(({ body }) => body.status);
    expect(await review('weir-identity')).toMatchObject({
      authenticated: true,
      user: { username: 'system:serviceaccount:default:default' },
    });
    expect(await review('other')).toMatchObject({ authenticated: false });
    // For another audience than the API server's own, so no way in.
    expect((await harness.call('GET', '/api/v1/pods', undefined, { token })).status).toBe(401);
    await harness.call('DELETE', '/api/v1/namespaces/default/pods/bound');
    expect(await review('weir-identity')).toMatchObject({ authenticated: false });
  });
});

describe('storage', () => {
  test('objects and revisions survive a restart and a torn last line', async () => {
    const { body } = await harness.call('POST', CONFIGMAPS, configMap('durable'));
    await harness.call('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', widgetCrd);
    appendFileSync(join(harness.dir, 'objects.log'), '[99999,"/configmaps|default|torn",{"kind":');
    await harness.restart();
    const { body: again } = await harness.call('GET', `${CONFIGMAPS}/durable`);
    expect(again).toEqual(body);
    expect((await harness.call('GET', '/apis/example.com/v1/widgets')).status).toBe(200);
    const { body: next } = await harness.call('POST', CONFIGMAPS, configMap('later'));
    expect(Number(next.metadata.resourceVersion)).toBeGreaterThan(Number(body.metadata.resourceVersion));
    expect((await harness.call('GET', `${CONFIGMAPS}/torn`)).status).toBe(404);
  });
});

test('apply takes away a field of a custom resource with the defaults that were filled in below it', async () => {
  await harness.call('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', widgetCrd);
  const apply = (manager: string, spec: object) =>
    harness.call(
      'PATCH',
      `/apis/example.com/v1/namespaces/default/widgets/applied?fieldManager=${manager}`,
      { apiVersion: 'example.com/v1', kind: 'Widget', metadata: { name: 'applied' }, spec },
      { type: 'application/apply-patch+yaml' },
    );
  expect((await apply('one', { size: 1, mode: { kind: 'a' } })).body.spec.mode).toEqual({
    kind: 'a',
    level: 3,
  });
  const gone = await apply('one', { size: 1 });
  expect(gone).toMatchObject({ status: 200, body: { spec: { size: 1, replicas: 1 } } });
  expect(gone.body.spec).not.toHaveProperty('mode');
  // What somebody else owns of it stays.
  await apply('one', { size: 1, mode: { kind: 'a' } });
  await apply('two', { mode: { kind: 'a', level: 9 } });
  expect((await apply('one', { size: 1 })).body.spec.mode).toEqual({ kind: 'a', level: 9 });
});

describe('admission', () => {
  test('mutating, denying, and failing webhooks behind a Service', async () => {
    const fixture = await startAdmissionFixture(harness);
    try {
      const paused = await harness.call('POST', DEPLOYMENTS, deployment('hooked'));
      expect(paused.body).toMatchObject({ spec: { paused: true } });
      expect(fixture.seen.at(-1)).toMatchObject({
        operation: 'CREATE',
        name: 'hooked',
        userInfo: { username: 'admin' },
      });
      const denied = await harness.call('POST', DEPLOYMENTS, deployment('forbidden'));
      expect(denied).toMatchObject({
        status: 403,
        body: { message: 'admission webhook "hook.example.com" denied the request: not this one' },
      });
      await fixture.close();
      expect((await harness.call('POST', DEPLOYMENTS, deployment('unreachable'))).body).toMatchObject({
        code: 500,
        reason: 'InternalError',
      });
    } finally {
      await fixture.remove();
    }
    expect((await harness.call('POST', DEPLOYMENTS, deployment('free'))).body.spec.paused).toBeUndefined();
  });
});
