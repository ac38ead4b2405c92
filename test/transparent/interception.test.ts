import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { PROXY_UID } from '../../src/api/names.ts';
import { Mesh } from './support/mesh.ts';
import { nodeAddresses } from './support/network.ts';
import { Processes, TestPod, until } from './support/pods.ts';

const WEB = { ipv4: '100.64.0.10', ipv6: 'fd64::10' };
const AUTHORITY = 'web.shop:80';
const SETTINGS = {
  'config.weir.dev/skip-inbound-ports': '9000',
  'config.weir.dev/skip-outbound-ports': '7001',
  'config.weir.dev/skip-subnets': '203.0.113.0/24',
  'config.weir.dev/opaque-ports': '7777',
};
const processes = new Processes();
const mesh = new Mesh(processes);
/** a: a client in the mesh; b: a server in the mesh; c: in no mesh. */
const [a, b, c] = [new TestPod('a', processes), new TestPod('b', processes), new TestPod('c', processes)];
/** Outside: answers with its port and who asked. */
const outside = [7000, 7001, 7002, 7003].map((port) => {
  const server = createServer(({ socket, headers }: IncomingMessage, response) =>
    response.end(JSON.stringify({ port, from: socket.remoteAddress, host: headers.host })),
  );
  return server.listen(port, nodeAddresses.ipv4);
});

/** A certificate of the application's own, which the mesh knows nothing of. */
function selfSigned(): { APP_KEY: string; APP_CERTIFICATE: string } {
  const dir = processes.directory();
  const [key, certificate] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
  const subject = ['-subj', '/CN=app.example', '-days', '2', '-nodes'];
  const args = ['req', '-x509', '-newkey', 'rsa:2048', '-keyout', key, '-out', certificate, ...subject];
  execFileSync('openssl', args, { stdio: 'ignore' });
  return { APP_KEY: readFileSync(key, 'utf8'), APP_CERTIFICATE: readFileSync(certificate, 'utf8') };
}

beforeAll(async () => {
  const certificate = selfSigned();
  await mesh.start();
  for (const { name } of [a, b]) mesh.pod(name, SETTINGS);
  mesh.pod('c');
  mesh.service('web', [WEB.ipv4, WEB.ipv6], ['b']);
  await Promise.all([b.startApp(certificate), c.startApp(certificate)]);
  const trust = await until('the trust bundle', async () => mesh.trust);
  for (const pod of [a, b]) await pod.startInjected(SETTINGS, trust);
});

afterAll(async () => {
  for (const server of outside) server.closeAllConnections();
  await Promise.all(outside.map((server) => new Promise((resolve) => server.close(resolve))));
  await processes.stop();
  mesh.api.stop();
});

const seen = (body: string) =>
  JSON.parse(body) as { name: string; from: string; headers: Record<string, string>; port: number };

describe('an application that knows nothing of the mesh', () => {
  test.each([
    ['IPv4', WEB.ipv4],
    ['IPv6', `[${WEB.ipv6}]`],
  ])('calls a Service by its cluster IP, with mutual TLS to the endpoint’s sidecar (%s)', async (_, host) => {
    const outbound = { direction: 'outbound', authority: AUTHORITY, dst_service: 'web', tls: 'true' };
    const inbound = { direction: 'inbound', tls: 'true', client_id: 'spiffe://weir.local/ns/shop/sa/a' };
    const before = [await a.metric('request_total', outbound), await b.metric('request_total', inbound)];
    const answer = await a.curl([`http://${host}/path`]);
    expect(answer.status).toBe(200);
    expect(seen(answer.body)).toMatchObject({
      name: 'b',
      headers: { 'weir-client-id': 'spiffe://weir.local/ns/shop/sa/a' },
    });
    expect(await a.metric('request_total', outbound)).toBe(before[0]! + 1);
    expect(await b.metric('request_total', inbound)).toBe(before[1]! + 1);
  });

  test('calls many at a time', async () => {
    const url = `http://${WEB.ipv4}/[1-300]`;
    const format = ['-o', '/dev/null', '-w', '%{http_code}\n'];
    const { stdout } = await a.run('curl', ['-s', '-Z', '--parallel-max', '50', ...format, url]);
    expect(stdout).toBe('200\n'.repeat(300));
  });

  test('calls a pod by its own address, as who that pod is', async () => {
    const answer = await a.curl([`http://${b.addresses.ipv4}:8080/`]);
    expect(seen(answer.body)).toMatchObject({ name: 'b', headers: { 'weir-client-id': expect.any(String) } });
    const labels = { direction: 'outbound', authority: `${b.addresses.ipv4}:8080`, tls: 'true' };
    expect(await a.metric('request_total', labels)).toBe(1);
  });

  test('calls what the mesh does not know as ever; the Host header decides nothing', async () => {
    const url = `http://${nodeAddresses.ipv4}:7000/`;
    const answer = await a.curl(['-H', 'Host: web.shop', url]);
    expect(seen(answer.body)).toEqual({ port: 7000, from: a.addresses.ipv4, host: 'web.shop' });
    const labels = { direction: 'outbound', authority: `${nodeAddresses.ipv4}:7000`, tls: 'false' };
    expect(await a.metric('request_total', labels)).toBe(1);
    // A pod without a sidecar is reached as it is.
    expect(seen((await a.curl([`http://${c.addresses.ipv4}:8080/`])).body)).toMatchObject({ name: 'c' });
  });

  test('is greeted at once by a server that speaks first, through mutual TLS, and remembered', async () => {
    const script = `exec 3<>/dev/tcp/${WEB.ipv4}/2525; read -r line <&3; echo "$line"; echo hello >&3; read -r line <&3; echo "$line"`;
    const times: number[] = [];
    for (let round = 0; round < 3; round += 1) {
      const began = performance.now();
      const { stdout } = await a.run('bash', ['-c', script]);
      times.push(performance.now() - began);
      expect(stdout.replaceAll('\r', '')).toBe('220 b ready\nhello\n');
    }
    // Waiting for the end of detection would take a second in each of the two proxies.
    expect(Math.min(...times)).toBeLessThan(1_000);
    const labels = { direction: 'outbound', peer: 'dst', authority: 'web.shop:2525', tls: 'true' };
    expect(await a.metric('tcp_open_total', labels)).toBe(3);
  });

  test('keeps its half-closed connections, through mutual TLS both ways', async () => {
    const client = `const s = require('net').connect({ host: '${WEB.ipv4}', port: 7777, allowHalfOpen: true });
      s.end(Buffer.alloc(300000, 'x')); s.pipe(process.stdout);`;
    const { stdout, stderr } = await a.run(process.execPath, ['-e', client], { read: true });
    expect(stdout + stderr).toBe('b got 300000 bytes\n');
    const labels = { direction: 'outbound', peer: 'dst', authority: 'web.shop:7777', tls: 'true' };
    expect(await a.metric('tcp_open_total', labels)).toBe(1);
  });

  test('has its own TLS passed through, from inside the mesh and from outside', async () => {
    const insecure = ['-k', '--resolve', `app.example:443:${WEB.ipv4}`];
    const answer = await a.curl([...insecure, 'https://app.example/']);
    expect(seen(answer.body)).toMatchObject({ name: 'b', headers: { host: 'app.example' } });
    const socket = connectTls({
      host: b.addresses.ipv4,
      port: 8443,
      servername: 'app.example',
      rejectUnauthorized: false,
    });
    await once(socket, 'secureConnect');
    expect(socket.getPeerCertificate().subject.CN).toBe('app.example');
    socket.destroy();
  });
});

describe('what goes past the mesh', () => {
  test('ports and users that the rules skip', async () => {
    const direct = async (port: number, uid?: number) => {
      const answer = await a.curl([`http://${nodeAddresses.ipv4}:${port}/`], uid);
      expect(seen(answer.body)).toMatchObject({ port });
      return a.metric('tcp_open_total', { authority: `${nodeAddresses.ipv4}:${port}` });
    };
    expect(await direct(7001)).toBe(0);
    expect(await direct(7002, PROXY_UID)).toBe(0);
    expect(await direct(7003)).toBeGreaterThan(0);
    // Intercepted on its way out, and reached past the inbound proxy: the application sees who called.
    const skipped = await a.curl([`http://${WEB.ipv4}:9000/`]);
    const { name, from } = seen(skipped.body);
    expect(name).toBe('b');
    expect(Object.values(a.addresses)).toContain(from.replace('::ffff:', ''));
    const labels = { direction: 'outbound', authority: 'web.shop:9000', tls: 'false' };
    expect(await a.metric('request_total', labels)).toBe(1);
  });

  test('probes of the kubelet, which has no certificate, and loopback', async () => {
    for (const host of [b.addresses.ipv4, `[${b.addresses.ipv6}]`])
      expect((await fetch(`http://${host}:8080/healthz`)).status).toBe(200);
    expect(await b.metric('request_total', { direction: 'inbound', tls: 'false' })).toBeGreaterThan(0);
    const before = await b.metric('tcp_open_total', { direction: 'outbound' });
    for (const host of ['127.0.0.1', b.addresses.ipv4])
      expect(seen((await b.curl([`http://${host}:8080/`])).body)).toMatchObject({ name: 'b' });
    expect(await b.metric('tcp_open_total', { direction: 'outbound' })).toBe(before);
  });

  test('TCP probes, which the proxy makes itself, find out about the application', async () => {
    const probe = async (port: number) =>
      (await fetch(`http://${b.addresses.ipv4}:4191/probe/tcp/${port}`)).status;
    expect(await probe(2525)).toBe(200);
    expect(await probe(2526)).toBe(503);
    expect(await probe(65_536)).toBe(503);
  });

  test('a server that speaks first greets a client outside the mesh', async () => {
    const socket = connect(2525, b.addresses.ipv4);
    const [first] = (await once(socket, 'data')) as [Buffer];
    expect(first.toString()).toBe('220 b ready\r\n');
    socket.destroy();
  });

  test('a pod that is an endpoint of the Service it calls', async () => {
    const answer = await b.curl([`http://${WEB.ipv4}/`]);
    expect(seen(answer.body)).toMatchObject({ name: 'b' });
    expect(await b.metric('request_total', { direction: 'outbound', authority: AUTHORITY })).toBe(1);
  });
});

test('connections to the proxy’s own ports are refused, not passed round', async () => {
  expect(await a.curl(['http://127.0.0.1:4140/'])).toMatchObject({ status: 0 });
  expect(await c.curl([`http://${b.addresses.ipv4}:4143/`])).toMatchObject({ status: 0 });
  const refused = await a.metric('weir_proxy_errors_total', { cause: 'loop' });
  expect(refused).toBe(1);
  expect(await b.metric('weir_proxy_errors_total', { cause: 'loop' })).toBe(1);
});

test('endpoints that change are followed; the last ones known serve while the control plane is away', async () => {
  const call = async () => {
    const { status, body, headers } = await a.curl([`http://${WEB.ipv4}/`]);
    return status === 200 ? seen(body).name : `${status} ${/weir-proxy-error: (\S+)/.exec(headers)?.[1]}`;
  };
  mesh.endpoints('web', []);
  await until('no endpoint', async () => (await call()) === '503 no-endpoint');
  mesh.endpoints('web', ['c']);
  await until('the new endpoint', async () => (await call()) === 'c');
  mesh.endpoints('web', ['b']);
  await until('the old endpoint', async () => (await call()) === 'b');

  // A split is followed as well: a canary that is given everything gets it.
  mesh.service('web-stable', [], ['b']);
  mesh.service('web-canary', [], ['c']);
  mesh.split('web', { 'web-stable': 0, 'web-canary': 100 });
  await until('the canary', async () => (await call()) === 'c');
  mesh.split('web', { 'web-stable': 100, 'web-canary': 0 });
  await until('the stable one', async () => (await call()) === 'b');

  await mesh.kill();
  expect(await call()).toBe('b');
  // Never asked about before, and nobody to ask: it goes where it was going.
  expect(seen((await a.curl([`http://${c.addresses.ipv4}:9000/`])).body)).toMatchObject({ name: 'c' });
  await mesh.run();
  mesh.split('web', { 'web-stable': 0, 'web-canary': 100 });
  await until('the stream is back', async () => (await call()) === 'c');
  mesh.split('web', { 'web-stable': 100, 'web-canary': 0 });
  await until('and the stable one', async () => (await call()) === 'b');
});

test('the rules are the same after the second run, and gone after their removal', async () => {
  const before = await c.rules();
  const args = ['--skip-inbound-ports', '22,8000-8100'];
  const first = await c.proxyInit(args);
  expect(first).toMatchObject({ code: 0 });
  const written = await c.rules();
  expect(written).toContain('--to-ports 4143');
  await c.proxyInit(args);
  expect(await c.rules()).toBe(written);
  expect(await c.proxyInit(['--remove'])).toMatchObject({ code: 0 });
  expect(await c.rules()).not.toContain('WEIR');
  expect((await c.rules()).replaceAll(/\[\d+:\d+\]/g, '')).toContain(
    before.replaceAll(/\[\d+:\d+\]/g, '').trim(),
  );
  const denied = await c.proxyInit([], 1000);
  expect(denied).toMatchObject({ code: 1, stderr: expect.stringMatching(/not allowed .*NET_ADMIN/) });
});
