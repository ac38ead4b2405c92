import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { once } from 'node:events';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import tls from 'node:tls';
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import * as x509 from '@peculiar/x509';
import { AppError } from '../lib/errors.ts';
import { silentLogger } from '../lib/log.ts';
import type { AdmissionHandler } from './admission.ts';
import { type AdmissionServer, type Certificate, startAdmissionServer } from './admission-server.ts';
import { startHealthServer } from './health.ts';

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

async function selfSigned(name: string): Promise<{ cert: string; key: string }> {
  x509.cryptoProvider.set(webcrypto as never);
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    signingAlgorithm: algorithm,
    keys,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'localhost' }])],
  });
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  return {
    cert: certificate.toString('pem'),
    key: `-----BEGIN PRIVATE KEY-----\n${der.toString('base64')}\n-----END PRIVATE KEY-----\n`,
  };
}

let first: { cert: string; key: string };
let second: { cert: string; key: string };
beforeAll(async () => {
  [first, second] = await Promise.all([selfSigned('first'), selfSigned('second')]);
});

const review = (name: string) => ({
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request: { uid: `uid-${name}`, name, operation: 'UPDATE', userInfo: { username: 'someone' } },
});

async function post(port: number, path: string, body: string, method = 'POST') {
  const outgoing = request({
    host: '127.0.0.1',
    servername: 'localhost',
    port,
    path,
    method,
    ca: [first.cert, second.cert],
    agent: false,
  });
  outgoing.end(body);
  const [response] = await once(outgoing, 'response');
  return { status: response.statusCode as number, body: await text(response) };
}

/** The certificate that a new connection is shown. */
async function shown(port: number): Promise<string> {
  const socket = tls.connect({
    host: '127.0.0.1',
    port,
    servername: 'localhost',
    ca: [first.cert, second.cert],
  });
  await once(socket, 'secureConnect');
  const { raw } = socket.getPeerCertificate();
  socket.destroy();
  return raw.toString('base64');
}

const derOf = (pem: string) => Buffer.from(new x509.X509Certificate(pem).rawData).toString('base64');

describe('admission server', () => {
  const gate: AdmissionHandler = async ({ name }) => {
    if (name === 'crash') throw new AppError('Unavailable', 'cannot read weir-gate');
    if (name === 'deny') return { allowed: false, message: 'held by Rollout web' };
    return { allowed: true, warnings: ['held'], patch: [{ op: 'add', path: '/spec/paused', value: true }] };
  };
  async function start(certificate: Certificate | (() => Certificate) = first): Promise<AdmissionServer> {
    const server = await startAdmissionServer({
      listen: '127.0.0.1:0',
      tls: certificate,
      routes: { '/gate': gate },
      log: silentLogger,
    });
    ends.push(() => server.stop());
    return server;
  }

  test('answers with the uid of the review and the patch in base64; the query is no part of the path', async () => {
    const { port } = await start();
    const { status, body } = await post(port, '/gate?timeout=10s', JSON.stringify(review('web')));
    expect(status).toBe(200);
    const { apiVersion, kind, response } = JSON.parse(body);
    expect({ apiVersion, kind }).toEqual({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview' });
    expect(response).toMatchObject({
      uid: 'uid-web',
      allowed: true,
      warnings: ['held'],
      patchType: 'JSONPatch',
    });
    expect(JSON.parse(Buffer.from(response.patch, 'base64').toString())).toEqual([
      { op: 'add', path: '/spec/paused', value: true },
    ]);
  });

  test('a denial is an answer, 403 unless the handler says otherwise', async () => {
    const { port } = await start();
    const { status, body } = await post(port, '/gate', JSON.stringify(review('deny')));
    expect(status).toBe(200);
    expect(JSON.parse(body).response).toEqual({
      uid: 'uid-deny',
      allowed: false,
      status: { code: 403, message: 'held by Rollout web' },
    });
  });

  test.each([
    ['no JSON', '{'],
    ['null', 'null'],
    ['another kind', JSON.stringify({ ...review('web'), kind: 'Pod' })],
    ['no uid', JSON.stringify({ kind: 'AdmissionReview', request: {} })],
    ['9 MiB', JSON.stringify({ ...review('web'), filler: 'x'.repeat(9 * 1024 * 1024) })],
  ])('%s is 400', async (_what, body) => {
    const { port } = await start();
    expect((await post(port, '/gate', body)).status).toBe(400);
  });

  test('a handler that throws is 500, so that failurePolicy decides', async () => {
    const { port } = await start();
    expect(await post(port, '/gate', JSON.stringify(review('crash')))).toEqual({
      status: 500,
      body: 'cannot read weir-gate',
    });
  });

  test('another path or method is 404', async () => {
    const { port } = await start();
    expect((await post(port, '/other', JSON.stringify(review('web')))).status).toBe(404);
    expect((await post(port, '/gate', '', 'GET')).status).toBe(404);
  });

  test('reload shows a renewed certificate to new connections', async () => {
    let current = first;
    const server = await start(() => current);
    expect(await shown(server.port)).toBe(derOf(first.cert));
    current = second;
    expect(await shown(server.port)).toBe(derOf(first.cert));
    server.reload();
    expect(await shown(server.port)).toBe(derOf(second.cert));
  });
});

describe('health server', () => {
  const get = async (port: number, path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    return [response.status, await response.text()];
  };

  test('live, ready with its reason, metrics', async () => {
    let state: boolean | string = 'the caches are still being filled';
    const server = await startHealthServer({
      listen: '127.0.0.1:0',
      ready: () => state,
      metrics: () => 'up 1\n',
    });
    ends.push(() => server.stop());
    expect(await get(server.port, '/live')).toEqual([200, 'ok\n']);
    expect(await get(server.port, '/ready')).toEqual([503, 'the caches are still being filled\n']);
    state = false;
    expect(await get(server.port, '/ready')).toEqual([503, 'not ready\n']);
    state = true;
    expect(await get(server.port, '/ready?x=1')).toEqual([200, 'ok\n']);
    expect(await get(server.port, '/metrics')).toEqual([200, 'up 1\n']);
    expect((await get(server.port, '/'))[0]).toBe(404);
  });

  test('a check that throws is 500; a port that is taken is an error that names it', async () => {
    const ready = () => Promise.reject(new Error('no cluster'));
    const server = await startHealthServer({ listen: '127.0.0.1:0', ready });
    ends.push(() => server.stop());
    expect(await get(server.port, '/ready')).toEqual([500, 'Error: no cluster\n']);
    await expect(startHealthServer({ listen: `127.0.0.1:${server.port}`, ready })).rejects.toMatchObject({
      code: 'Unavailable',
      message: expect.stringContaining(`127.0.0.1:${server.port}: is in use`),
    });
  });
});
