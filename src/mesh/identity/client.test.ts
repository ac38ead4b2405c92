import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { silentLogger } from '../../lib/log.ts';
import { transport } from '../proxy/fixtures.ts';
import { DataPlane } from '../proxy/proxy.ts';
import { Authority, createRoot } from './authority.ts';
import { createRequest } from './client/csr.ts';
import { IdentityClient, type IdentityMaterial } from './client.ts';

let authority: Authority;
beforeAll(async () => {
  authority = await Authority.load(await createRoot('weir.local'), { trustDomain: 'weir.local' });
});

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

const spiffe = (account: string) => `spiffe://weir.local/ns/shop/sa/${account}`;

async function material(account: string, by = authority): Promise<IdentityMaterial> {
  const { key, csr } = createRequest();
  const { certificate } = await by.signRequest(csr, {
    spiffe: spiffe(account),
    dns: `${account}.shop.weir.local`,
  });
  return { key, cert: certificate, trust: by.bundle };
}

test('a certificate is asked for until there is one, with the token as it then is', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'weir-identity-'));
  const [trustFile, tokenFile] = [join(dir, 'ca.pem'), join(dir, 'token')];
  writeFileSync(trustFile, authority.bundle);
  writeFileSync(tokenFile, 'old\n');
  const tokens: string[] = [];
  const server = createServer(
    await authority.issueServer(['weir-mesh.weir.svc']),
    async (request, response) => {
      let text = '';
      for await (const chunk of request) text += chunk;
      const { csr, token } = JSON.parse(text) as { csr: string; token: string };
      tokens.push(token);
      if (token !== 'new') {
        writeFileSync(tokenFile, 'new\n');
        return void response.writeHead(401).end('{"code":"Unauthorized"}');
      }
      const names = { spiffe: spiffe('web'), dns: 'web.shop.weir.local' };
      const { certificate, notAfter } = await authority.signRequest(csr, names);
      response.end(
        JSON.stringify({ certificate, trust: authority.bundle, notAfter: notAfter.toISOString() }),
      );
    },
  );
  await once(server.listen(0, '127.0.0.1'), 'listening');
  cleanups.push(() => void server.close());
  const client = new IdentityClient({
    address: `https://127.0.0.1:${(server.address() as net.AddressInfo).port}`,
    servername: 'weir-mesh.weir.svc',
    trustFile,
    tokenFile,
    trustDomain: 'weir.local',
    log: silentLogger,
  });
  cleanups.push(() => client.stop());
  expect(client.current()).toBeUndefined();
  await client.start();
  expect(tokens).toEqual(['old', 'new']);
  expect(client.identity).toBe(spiffe('web'));
  expect(new X509Certificate(client.current()!.cert).checkPrivateKey).toBeDefined();
  let rotated = 0;
  client.onRotate(() => {
    rotated += 1;
  });
  client.setTrust('another bundle');
  client.setTrust('another bundle');
  expect([rotated, client.current()!.trust]).toEqual([1, 'another bundle']);
});

describe('two hops of mutual TLS', () => {
  const fixed = (current: IdentityMaterial) => ({ current: () => current, onRotate: () => () => {} });

  /** Client -> outbound proxy -> mutual TLS -> inbound proxy -> application. */
  async function hops(options: { expected?: string; caller?: IdentityMaterial } = {}) {
    let seen = '';
    const app = net.createServer((socket) =>
      socket.on('data', (chunk) => {
        seen += chunk.toString('latin1');
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      }),
    );
    await once(app.listen(0, '127.0.0.1'), 'listening');
    const common = { log: silentLogger };
    const inbound = new DataPlane({
      ...common,
      transport: transport(fixed(await material('web'))),
      config: {
        inbound: [
          {
            listen: '127.0.0.1:0',
            forward: `127.0.0.1:${(app.address() as net.AddressInfo).port}`,
            tls: 'required',
          },
        ],
        outbound: [],
        destinations: {},
        limits: {},
      },
    });
    await inbound.start();
    const identity = options.expected ?? spiffe('web');
    const outbound = new DataPlane({
      ...common,
      transport: transport(fixed(options.caller ?? (await material('client')))),
      config: {
        inbound: [],
        outbound: [{ listen: '127.0.0.1:0', destination: 'web.shop:80' }],
        destinations: {
          'web.shop:80': {
            key: 'web.shop:80',
            namespace: 'shop',
            protocol: 'detect',
            policy: {},
            backends: [
              { name: 'web', weight: 1, endpoints: [{ address: `127.0.0.1:${inbound.ports[0]}`, identity }] },
            ],
          },
        },
        limits: {},
      },
    });
    await outbound.start();
    cleanups.push(() => {
      outbound.destroy();
      inbound.destroy();
      app.close();
    });
    const socket = net.connect(outbound.ports[0]!, '127.0.0.1');
    cleanups.push(() => void socket.destroy());
    socket.write('GET / HTTP/1.1\r\nHost: web\r\nweir-client-id: someone-else\r\n\r\n');
    const [chunk] = (await once(socket, 'data')) as [Buffer];
    return { answer: chunk.toString('latin1'), seen: () => seen, inbound };
  }

  test('the application learns who calls, and a spoofed name is gone', async () => {
    const { answer, seen, inbound } = await hops();
    expect(answer).toMatch(/200 OK[\s\S]*ok$/);
    expect(seen()).toBe(`GET / HTTP/1.1\r\nHost: web\r\nweir-client-id: ${spiffe('client')}\r\n\r\n`);
    expect(inbound.runtime.metrics.expose()).toMatch(
      /response_total\{direction="inbound".*tls="true",client_id="spiffe:\/\/weir.local\/ns\/shop\/sa\/client".*\} 1/,
    );
  });

  test('a peer with another identity is refused', async () => {
    const { answer, seen } = await hops({ expected: spiffe('other') });
    expect(answer).toMatch(/502 [\s\S]*expected spiffe:\/\/weir.local\/ns\/shop\/sa\/other/);
    expect(seen()).toBe('');
  });

  test('a caller of another authority is refused', async () => {
    const foreign = await Authority.load(await createRoot('weir.local'), { trustDomain: 'weir.local' });
    const caller = { ...(await material('client', foreign)), trust: authority.bundle };
    const { answer, seen } = await hops({ caller });
    expect(answer).toMatch(/^HTTP\/1.1 50[02]/);
    expect(seen()).toBe('');
  });
});
