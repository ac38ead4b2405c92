import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterEach, beforeAll, expect, test } from '@jest/globals';
import { FakeClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { Client, cleanUp, cleanups, GET, transport } from '../proxy/fixtures.ts';
import { createLineLogger } from '../proxy/log.ts';
import { DataPlane } from '../proxy/proxy.ts';
import type { CredentialSource } from '../proxy/transport/types.ts';
import { Authority, createRoot } from './authority.ts';
import { createRequest } from './client/csr.ts';
import { IdentityClient, type IdentityMaterial } from './client.ts';

let authority: Authority;
beforeAll(async () => {
  authority = await Authority.load(await createRoot('weir.local'), { trustDomain: 'weir.local' });
});
afterEach(cleanUp);

const names = (account: string) => ({
  spiffe: `spiffe://weir.local/ns/shop/sa/${account}`,
  dns: `${account}.shop.weir.local`,
});

async function material(account: string): Promise<IdentityMaterial> {
  const { key, csr } = createRequest();
  const { certificate } = await authority.signRequest(csr, names(account));
  return { key, cert: certificate, trust: authority.bundle };
}

/** An application that repeats the request it got, behind an inbound proxy. */
async function inbound(
  credentials: CredentialSource,
  mode: 'required' | 'permissive',
  log = silentLogger,
): Promise<DataPlane> {
  const app = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk) =>
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${chunk.length}\r\n\r\n${chunk.toString('latin1')}`),
    );
  });
  await once(app.listen(0, '127.0.0.1'), 'listening');
  const forward = `127.0.0.1:${(app.address() as net.AddressInfo).port}`;
  const plane = new DataPlane({
    log,
    transport: transport(credentials),
    config: {
      inbound: [{ listen: '127.0.0.1:0', forward, tls: mode }],
      outbound: [],
      destinations: {},
      limits: {},
    },
  });
  await plane.start();
  cleanups.push(() => {
    plane.destroy();
    app.close();
  });
  return plane;
}

const fixed = (current: IdentityMaterial) => ({ current: () => current, onRotate: () => () => {} });

async function handshake(port: number, { key, cert, trust }: IdentityMaterial): Promise<tls.TLSSocket> {
  const checkServerIdentity = () => undefined;
  const socket = tls.connect({ host: '127.0.0.1', port, key, cert, ca: trust, checkServerIdentity });
  cleanups.push(() => void socket.destroy());
  await once(socket, 'secureConnect');
  return socket;
}

async function ask(socket: net.Socket): Promise<string> {
  socket.write(GET);
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  return chunk.toString('latin1');
}

test('permissive: plain callers are served without a name, those with TLS with theirs', async () => {
  const plane = await inbound(fixed(await material('web')), 'permissive');
  const plain = new Client(plane);
  plain.socket.write(GET.replace('Host: a', 'Host: a\r\nweir-client-id: somebody'));
  expect(await plain.until((text) => text.endsWith('\r\n\r\n') && text.includes('GET'))).not.toContain(
    'weir-',
  );
  const secure = await handshake(plane.ports[0]!, await material('client'));
  expect(await ask(secure)).toContain(`weir-client-id: ${names('client').spiffe}`);
  const text = plane.runtime.metrics.expose();
  expect(text).toMatch(/response_total\{direction="inbound".*tls="false".*\} 1/);
  expect(text).toMatch(/response_total\{direction="inbound".*tls="true",client_id=.*\} 1/);
});

test('required: a plain caller gets nothing', async () => {
  const plane = await inbound(fixed(await material('web')), 'required');
  const plain = new Client(plane);
  plain.socket.write(GET);
  expect(await plain.closed()).not.toContain('200');
});

test('failed handshakes are counted, and the log has one line for many', async () => {
  const lines: string[] = [];
  const log = createLineLogger({}, { write: (line) => void lines.push(line) });
  const plane = await inbound(fixed(await material('web')), 'required', log);
  for (let n = 0; n < 3; n += 1) {
    const plain = new Client(plane);
    plain.socket.write(GET);
    await plain.closed();
  }
  expect(plane.runtime.metrics.expose()).toContain('weir_tls_handshake_failures_total{cause="protocol"} 3\n');
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    expect.objectContaining({
      msg: 'the TLS handshake of a client failed',
      cause: 'protocol',
      peer: '127.0.0.1',
      error: expect.stringMatching(/http request|wrong version/i),
    }),
  ]);
});

test('renewal at 60 to 70 % of its life: new handshakes see it, open connections go on', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'weir-renewal-'));
  const [trustFile, tokenFile] = [join(dir, 'ca.pem'), join(dir, 'token')];
  writeFileSync(trustFile, authority.bundle);
  writeFileSync(tokenFile, 'token\n');
  const clock = new FakeClock(Date.now());
  const LIFE = 600_000;
  let issued = 0;
  const ca = createServer(await authority.issueServer(['weir-mesh.weir.svc']), async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    const { certificate } = await authority.signRequest(JSON.parse(text).csr, names('web'));
    issued += 1;
    const notAfter = new Date(clock.now() + LIFE).toISOString();
    response.end(JSON.stringify({ certificate, trust: authority.bundle, notAfter }));
  });
  await once(ca.listen(0, '127.0.0.1'), 'listening');
  cleanups.push(() => void ca.close());
  const identity = new IdentityClient({
    address: `https://127.0.0.1:${(ca.address() as net.AddressInfo).port}`,
    servername: 'weir-mesh.weir.svc',
    trustFile,
    tokenFile,
    trustDomain: 'weir.local',
    log: silentLogger,
    clock,
  });
  cleanups.push(() => identity.stop());
  await identity.start();
  while (clock.sleeping === 0) await new Promise((resolve) => setImmediate(resolve));
  const plane = await inbound(identity, 'required');
  const port = plane.ports[0]!;
  const serial = (pem: string) => new X509Certificate(pem).serialNumber;
  const first = serial(identity.current()!.cert);
  const open = await handshake(port, await material('client'));
  expect(open.getPeerCertificate().serialNumber).toBe(first);
  await ask(open);

  await clock.advance(LIFE * 0.59);
  expect(issued).toBe(1);
  const renewed = new Promise<void>((resolve) => void identity.onRotate(resolve));
  await clock.advance(LIFE * 0.11);
  await renewed;
  const second = serial(identity.current()!.cert);
  expect(second).not.toBe(first);
  const later = await handshake(port, await material('client'));
  expect(later.getPeerCertificate().serialNumber).toBe(second);
  expect(await ask(later)).toContain('200 OK');
  expect(await ask(open)).toContain('200 OK');
  expect(plane.runtime.connections).toBe(2);
});
