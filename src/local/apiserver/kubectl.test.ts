import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { deployment, type Harness, startHarness, whyNoKubectl, widgetCrd } from './fixtures/harness.ts';

const reason = whyNoKubectl();
if (reason) console.warn(reason);

let harness: Harness;
beforeAll(async () => {
  harness = await startHarness();
});
afterAll(() => harness.stop());

// kubectl is a synchronous child here, so the server must live in another process.
const DEPLOYMENTS = '/apis/apps/v1/namespaces/default/deployments';

describe('over plain HTTP', () => {
  test('a Deployment is created with the defaults of the real server', async () => {
    const { status, body } = await harness.call('POST', DEPLOYMENTS, deployment('plain'));
    expect(status).toBe(201);
    expect(body.spec).toMatchObject({
      revisionHistoryLimit: 10,
      progressDeadlineSeconds: 600,
      strategy: { rollingUpdate: { maxSurge: '25%' } },
    });
    expect(body.spec.template.spec.containers[0]).toMatchObject({
      imagePullPolicy: 'IfNotPresent',
      ports: [{ protocol: 'TCP' }],
    });
  });
});
void mkdirSync;
void writeFileSync;
void join;
void widgetCrd;
