import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kinds } from '../../../src/api/kinds.ts';
import type { KubeObject } from '../../../src/api/meta.ts';
import { servingCertificate } from '../../../src/local/apiserver/certificates.ts';
import type { TestCluster } from '../../e2e/support/cluster.ts';

interface PatchOperation {
  op: 'add' | 'replace' | 'remove';
  path: string;
  value?: unknown;
}

export interface ThirdPartyRule {
  /** Plural of the kind, and its group. */
  resource: string;
  group?: string;
  operations: ('CREATE' | 'UPDATE')[];
  /** Only objects with this label. */
  label?: string;
  mutate(object: KubeObject): PatchOperation[];
}

export interface ThirdParty {
  /** Objects seen. */
  calls: number;
  /** The server goes, its configuration stays: what it was asked for fails. */
  close(): Promise<void>;
  remove(): Promise<void>;
}

const HOST = '198.19.255.1';

/** A mutating webhook of somebody else, for the objects of one namespace. */
export async function startThirdParty(
  { client }: TestCluster,
  namespace: string,
  { resource, group = '', operations, label, mutate }: ThirdPartyRule,
): Promise<ThirdParty> {
  const dir = mkdtempSync(join(tmpdir(), 'weir-third-party-'));
  const { ca, cert, key } = await servingCertificate(dir, [HOST]);
  const state = { calls: 0 };
  const server = createServer({ cert, key }, async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    const {
      apiVersion,
      kind,
      request: asked,
    } = JSON.parse(text) as {
      apiVersion: string;
      kind: string;
      request: { uid: string; object: KubeObject };
    };
    state.calls += 1;
    const patch = Buffer.from(JSON.stringify(mutate(asked.object))).toString('base64');
    const answer = { uid: asked.uid, allowed: true, patchType: 'JSONPatch', patch };
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ apiVersion, kind, response: answer }));
  });
  await new Promise<void>((resolve) => server.listen(0, HOST, resolve));
  const { port } = server.address() as AddressInfo;
  const name = `third-party-${namespace}`;
  const configuration = {
    metadata: { name },
    webhooks: [
      {
        name: `${namespace}.example.com`,
        clientConfig: { url: `https://${HOST}:${port}/`, caBundle: Buffer.from(ca).toString('base64') },
        rules: [{ apiGroups: [group], apiVersions: ['v1'], operations, resources: [resource] }],
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
        ...(label ? { objectSelector: { matchExpressions: [{ key: label, operator: 'Exists' }] } } : {}),
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
        timeoutSeconds: 2,
      },
    ],
  };
  await client.create(kinds.MutatingWebhookConfiguration, configuration as KubeObject);
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return {
    get calls() {
      return state.calls;
    },
    close,
    async remove() {
      await client.delete(kinds.MutatingWebhookConfiguration, undefined, name);
      if (server.listening) await close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
