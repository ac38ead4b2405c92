import { expect, test } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import { silentLogger } from '../../lib/log.ts';
import { injectManifests, uninjectManifests } from './manifests.ts';
import type { PodLike } from './pod.ts';
import { injectHandler } from './webhook.ts';

const options = { namespace: 'shop', image: 'weir:1', isService: (name: string) => name === 'orders' };

const stream = `# the shop
apiVersion: v1
kind: Service
metadata: {name: web} # kept as written
spec: {ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  template:
    metadata:
      labels:
        app: web
    spec:
      containers:
        - name: app
          image: web:1
          env:
            - name: ORDERS
              value: http://orders
          ports:
            - containerPort: 8080
---
apiVersion: batch/v1
kind: CronJob
metadata:
  name: nightly
spec:
  schedule: "0 0 * * *"
  jobTemplate:
    spec:
      template:
        metadata:
          annotations:
            weir.dev/inject: disabled
        spec:
          containers:
            - name: job
              image: job:1
`;

test('workloads of a stream get the sidecar, everything else passes as it was', () => {
  const { yaml, results } = injectManifests(stream, options);
  expect(results).toEqual([
    { resource: 'deployment/web', changed: true },
    { resource: 'cronjob/nightly', changed: false, reason: 'weir.dev/inject is disabled on it' },
  ]);
  expect(yaml).toContain(
    'metadata: {name: web} # kept as written'.replace(/[{}]/g, (c) => (c === '{' ? '{ ' : ' }')),
  );
  const deployment = parseAllDocuments(yaml)[1]!.toJS();
  const names = deployment.spec.template.spec.containers.map(({ name }: { name: string }) => name);
  expect(names).toEqual(['app', 'weir-proxy']);
  expect(injectManifests(yaml, options).yaml).toBe(yaml);
});

test('uninject gives back what was there', () => {
  const plain = (text: string) => parseAllDocuments(text).map((document) => document.toJS());
  const { yaml } = injectManifests(stream, options);
  expect(plain(uninjectManifests(yaml).yaml)).toEqual(plain(stream));
});

test('a List is looked into, broken YAML is named', () => {
  const list = JSON.stringify({
    apiVersion: 'v1',
    kind: 'List',
    items: [{ kind: 'Pod', metadata: { name: 'a' }, spec: { containers: [{ name: 'x' }] } }],
  });
  expect(injectManifests(list, options).results).toEqual([{ resource: 'pod/a', changed: true }]);
  expect(() => injectManifests('a: [', options)).toThrow(/Document 1 is not YAML/);
});

test('the webhook’s patch makes the same pod as the pure function', async () => {
  const prepared: string[] = [];
  const handler = injectHandler({
    ...options,
    namespaceMetadata: (name) =>
      name === 'shop' ? { labels: { 'weir.dev/inject': 'enabled' }, annotations: {} } : undefined,
    prepare: async (namespace) => void prepared.push(namespace),
    log: silentLogger,
  });
  const pod: PodLike = { metadata: { generateName: 'web-' }, spec: { containers: [{ name: 'app' }] } };
  const review = (namespace: string, object = pod) =>
    handler(
      {
        uid: '1',
        kind: { group: '', version: 'v1', kind: 'Pod' },
        resource: { group: '', version: 'v1', resource: 'pods' },
        operation: 'CREATE',
        userInfo: { username: 'u' },
        namespace,
        object: object as never,
      },
      new AbortController().signal,
    );
  expect(await review('other')).toEqual({ allowed: true });
  const decision = await review('shop');
  expect(prepared).toEqual(['shop']);
  expect(decision).toMatchObject({
    allowed: true,
    patch: [{ path: '/metadata/annotations' }, { path: '/spec/containers' }, { path: '/spec/volumes' }],
  });
  // A setting that cannot be followed is no pod, and no reason to let one in without it.
  const metadata = { ...pod.metadata, annotations: { 'config.weir.dev/proxy-limits': '{inFlght: 5}' } };
  expect(await review('shop', { ...pod, metadata })).toEqual({
    allowed: false,
    code: 400,
    message: expect.stringMatching(/config\.weir\.dev\/proxy-limits is not valid: inFlght: no such limit/),
  });
  expect(prepared).toEqual(['shop']);
});
