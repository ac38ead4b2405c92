import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect as tlsConnect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { kinds } from '../../src/api/kinds.ts';
import type { KubeObject } from '../../src/api/meta.ts';
import { servingCertificate } from '../../src/local/apiserver/certificates.ts';
import { App } from '../e2e/support/app.ts';
import { eventually } from '../e2e/support/cluster.ts';
import type { KubernetesCluster } from './support/cluster.ts';
import { ALWAYS_GOOD, HOLD } from './support/kubectl.ts';
import { ownCluster } from './support/own.ts';
import { killApiServer } from './support/restart.ts';
import { beforePolicies } from './support/tools.ts';
import { gateScenarios } from './support/write-paths.ts';

/** A cluster as they were before the policies: neither served nor enforced. */
const WITHOUT_POLICIES = beforePolicies()
  ? []
  : [
      '--runtime-config=admissionregistration.k8s.io/v1/mutatingadmissionpolicies=false,admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings=false',
      '--disable-admission-plugins=MutatingAdmissionPolicy',
    ];

let cluster: KubernetesCluster;
beforeAll(async () => {
  cluster = await ownCluster({ apiserverFlags: WITHOUT_POLICIES });
}, 150_000);
afterAll(() => cluster?.stop(), 30_000);

gateScenarios('webhooks', () => cluster);

describe('the webhook fallback', () => {
  test('is what was chosen for this cluster', async () => {
    const { items } = await cluster.client.list(kinds.MutatingWebhookConfiguration, undefined);
    expect(items.map(({ metadata }) => metadata.name).sort()).toEqual(['gate.weir.dev', 'inject.weir.dev']);
    const { resources } = (await cluster.client.request('GET', '/apis/admissionregistration.k8s.io/v1')) as {
      resources: { name: string }[];
    };
    expect(resources.map(({ name }) => name)).not.toContain('mutatingadmissionpolicies');
  });

  test('refuses changes while weir mesh is down, and holds them again when it is back', async () => {
    const app = await App.create(cluster, 'mesh-down', { rps: 0, analysis: ALWAYS_GOOD, strategy: HOLD });
    const meshReplicas = (replicas: number) =>
      cluster.client.patch(kinds.Deployment, 'weir', 'weir-mesh', {
        type: 'merge',
        body: { spec: { replicas } },
      });
    try {
      await meshReplicas(0);
      await eventually('no weir mesh', async () => {
        const { items } = await cluster.client.list(kinds.Pod, 'weir', {
          labelSelector: 'app.kubernetes.io/component=mesh',
        });
        return items.length === 0;
      });
      await expect(app.deploy('v2')).rejects.toThrow(/gate.*weir\.dev/);
      expect(JSON.stringify((await app.deployment()).spec)).toContain('weir-sample:v1');
    } finally {
      await meshReplicas(1);
    }
    // As GitOps does: it tries again.
    await eventually('the change is taken', async () => {
      await app.deploy('v2');
      return true;
    });
    expect((await app.deployment()).spec.paused).toBe(true);
    await app.until('judged', ({ status }) => status?.canary?.images.includes('weir-sample:v2') === true);
    await app.remove();
  });

  test('is called over TLS that the API server verifies, and nothing passes while its trust is wrong', async () => {
    const { client } = cluster;
    const read = async () => {
      const { webhooks } = await client.get<KubeObject>(
        kinds.MutatingWebhookConfiguration,
        undefined,
        'gate.weir.dev',
      );
      return (webhooks as { clientConfig: { caBundle: string; service: { port: number } } }[])[0]!
        .clientConfig;
    };
    const { caBundle, service: target } = await read();
    const { items } = await client.list<KubeObject>(kinds.Pod, 'weir', {
      labelSelector: 'app.kubernetes.io/component=mesh',
    });
    const host = (items[0]!.status as { podIP: string }).podIP;
    const handshake = (options: ConnectionOptions) =>
      new Promise<string>((resolve) => {
        const socket = tlsConnect({ host, port: target.port, servername: 'weir-mesh.weir.svc', ...options });
        socket.once('secureConnect', () => resolve(socket.getProtocol() ?? ''));
        socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
        socket.once('close', () => resolve('closed'));
        setTimeout(() => socket.destroy(), 5000).unref();
      });
    const ca = Buffer.from(caBundle, 'base64');
    expect(await handshake({ ca })).toBe('TLSv1.3');
    expect(await handshake({ ca, servername: 'kubernetes.default.svc' })).toBe(
      'ERR_TLS_CERT_ALTNAME_INVALID',
    );
    expect(await handshake({})).toMatch(/SELF_SIGNED|UNABLE_TO/);
    expect(await handshake({ ca, minVersion: 'TLSv1', maxVersion: 'TLSv1.1' })).not.toMatch(/^TLS/);
    await expect(fetch(`http://${host}:${target.port}/gate`)).rejects.toThrow();

    const app = await App.create(cluster, 'webhook-tls', { rps: 0, analysis: ALWAYS_GOOD, strategy: HOLD });
    const other = mkdtempSync(join(tmpdir(), 'weir-other-ca-'));
    const { ca: foreign } = await servingCertificate(other, ['198.19.0.1']);
    rmSync(other, { recursive: true });
    // Somebody's mistake, or an impostor's certificate: refused until weir mesh has put its own bundle back.
    for (let write = 2; write < 12; write += 1) {
      const value = Buffer.from(foreign).toString('base64');
      await client.patch(kinds.MutatingWebhookConfiguration, undefined, 'gate.weir.dev', {
        type: 'json',
        body: [{ op: 'replace', path: '/webhooks/0/clientConfig/caBundle', value }],
      });
      await app.deploy(`v${write}`).catch((error: Error) => expect(error.message).toMatch(/gate.*weir\.dev/));
      const { spec } = await app.deployment();
      expect([JSON.stringify(spec).includes('weir-sample:v1'), spec.paused ?? false]).toContain(true);
      await eventually('the bundle is back', async () => (await read()).caBundle === caBundle);
    }
    expect((await app.podsOf('v1')).length).toBe(2);
    await app.remove();
  });

  test('an API server that restarts while a change is held: it stays held, and further writes too', async () => {
    const app = await App.create(cluster, 'webhook-restart', {
      rps: 0,
      analysis: ALWAYS_GOOD,
      strategy: HOLD,
    });
    await app.deploy('v2');
    await app.until('10 %', ({ status }) => status?.traffic?.canary === 10);
    await killApiServer(cluster, () => app.deploy('v3', {}, { paused: false }));
    expect((await app.deployment()).spec.paused).toBe(true);
    await app.until('v3 is judged', ({ status }) => status?.canary?.images[0] === 'weir-sample:v3');
    expect((await app.podsOf('v1')).length).toBe(2);
    await app.remove();
  });
});
