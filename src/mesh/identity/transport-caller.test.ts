/** Requests to the control plane over the proxy's transports, to a server of Node's own. */
import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { describe, expect, test } from '@jest/globals';
import { TransportCaller } from '../proxy/control-plane-caller.ts';
import { cleanups, onBoth } from '../proxy/transport/contract-fixtures.ts';
import { opensslKey } from '../proxy/transport/reactor/keys.ts';
import { reactorMachine } from '../proxy/transport/reactor/reactor.ts';
import { until } from '../proxy/until-fixtures.ts';
import { createRequest, nodeKey, spiffeOf } from './client/csr.ts';
import { type Caller, HttpsCaller, postJson } from './client/request.ts';
import { authority, Changing, foreign, material, someone, spiffe } from './tls-fixtures.ts';

const NAME = 'weir-mesh.weir.svc';

async function serve(answer: RequestListener, names = [NAME]) {
  let connections = 0;
  const server = createServer(
    {
      ...(await authority.issueServer(names)),
      ca: authority.bundle,
      requestCert: true,
      rejectUnauthorized: false,
    },
    answer,
  );
  server.on('secureConnection', () => {
    connections += 1;
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return {
    where: { address: `https://127.0.0.1:${port}`, servername: NAME },
    server,
    connections: () => connections,
  };
}

const shown = (socket: unknown): string | undefined => {
  const { subjectaltname } = (socket as TLSSocket).getPeerCertificate();
  return subjectaltname?.split(', ')[0]?.slice('URI:'.length);
};

/** Says who asks, and with what. */
const echo: RequestListener = async (request, response) => {
  let text = '';
  for await (const chunk of request) text += chunk;
  response.end(JSON.stringify({ path: request.url, who: shown(request.socket), body: JSON.parse(text) }));
};

onBoth((make) => {
  const trust = () => ({ trust: authority.bundle });

  test('before the first certificate, with nothing to show', async () => {
    const { where } = await serve(echo);
    const caller = new TransportCaller(() => make(), where);
    const answer = await postJson(caller, { path: '/a', body: { text: 'ü' }, credentials: trust() });
    expect(answer).toEqual({ path: '/a', body: { text: 'ü' } });
  });

  test('an answer that is no JSON is told as such', async () => {
    const { where } = await serve((_request, response) => response.end('<html>'));
    const caller = new TransportCaller(() => make(), where);
    await expect(postJson(caller, { path: '/a', body: {}, credentials: trust() })).rejects.toMatchObject({
      code: 'Unavailable',
      message: "the control plane's answer to /a is no JSON",
    });
  });

  test('with the certificate of the mesh, over one connection for as long as that is the same', async () => {
    const { where, connections } = await serve(echo);
    const changing = new Changing(someone.get('client'));
    const transport = make(changing);
    const caller = new TransportCaller(() => transport, where);
    const post = (path: string) =>
      postJson(caller, { path, body: {}, credentials: changing.current()!, keep: true });
    const answers = await Promise.all(['/1', '/2', '/3'].map(post));
    expect(answers).toEqual(['/1', '/2', '/3'].map((path) => ({ path, who: spiffe('client'), body: {} })));
    expect(connections()).toBe(1);
    changing.rotate(await material('web'));
    expect(await post('/4')).toMatchObject({ who: spiffe('web') });
    expect(connections()).toBe(2);
    caller.close();
  });

  test.each([
    ['whose certificate is of another name', ['other.weir.svc'], () => authority],
    ['of another authority', [NAME], () => foreign],
  ])('a server %s is not told anything', async (_what, names, by) => {
    let asked = 0;
    const { where } = await serve(() => {
      asked += 1;
    }, names);
    const caller = new TransportCaller(() => make(), where);
    const options = { path: '/', body: { token: 'secret' }, credentials: { trust: by().bundle } };
    await expect(postJson(caller, options)).rejects.toMatchObject({
      code: 'Unavailable',
      message: expect.stringContaining(`cannot reach the control plane at ${where.address}: `),
    });
    expect(asked).toBe(0);
  });

  test('a connection that was closed for lying idle is no failure of the next request', async () => {
    const sockets: TLSSocket[] = [];
    const { where, server, connections } = await serve(echo);
    server.on('secureConnection', (socket) => sockets.push(socket));
    const caller = new TransportCaller(() => make(), where);
    const post = () => postJson(caller, { path: '/', body: {}, credentials: trust(), keep: true });
    await post();
    // Closed in the same moment as the next request is made: nobody can have heard of it.
    sockets[0]!.destroy();
    expect(await post()).toMatchObject({ path: '/' });
    expect(connections()).toBe(2);
    caller.close();
  });

  test('what breaks in the middle of the answer, or is no answer, is an error', async () => {
    const { where } = await serve((request, response) => {
      if (request.url === '/half') {
        response.writeHead(200, { 'content-length': 10 }).write('12345');
        setImmediate(() => response.destroy());
      } else if (request.url === '/wrong') response.socket!.end('HTTP/1.1 2x0 Hm\r\n\r\n');
      else if (request.url === '/refused') response.writeHead(403).end('{"message":"no"}');
      else response.writeHead(204).end();
    });
    const caller = new TransportCaller(() => make(), where);
    const post = (path: string) => postJson(caller, { path, body: {}, credentials: trust(), keep: true });
    await expect(post('/half')).rejects.toMatchObject({ code: 'Unavailable' });
    await expect(post('/wrong')).rejects.toMatchObject({ code: 'Unavailable' });
    await expect(post('/refused')).rejects.toMatchObject({
      code: 'Forbidden',
      message: expect.stringContaining('403 {"message":"no"}'),
    });
    expect(await post('/none')).toBeUndefined();
    caller.close();
  });

  test('a stream comes piece by piece, and ends when it is called off', async () => {
    let closed = false;
    const { where } = await serve((_request, response) => {
      response.write('one\n');
      response.once('close', () => {
        closed = true;
      });
      setImmediate(() => response.write('two\n'));
    });
    const caller = new TransportCaller(() => make(), where);
    const stop = new AbortController();
    let [text, status, error] = ['', 0, undefined as Error | undefined];
    caller.call(
      { method: 'GET', path: '/stream', credentials: trust(), signal: stop.signal },
      {
        status: (code) => {
          status = code;
        },
        data: (chunk) => {
          text += chunk.toString();
        },
        end: () => {},
        error: (thrown) => {
          error = thrown;
        },
      },
    );
    await until(() => text === 'one\ntwo\n');
    stop.abort();
    await until(() => closed && error !== undefined);
    expect([status, error!.name]).toEqual([200, 'AbortError']);
  });

  test('no answer in time', async () => {
    const { where } = await serve(() => {});
    const caller: Caller = new TransportCaller(() => make(), where);
    const options = { path: '/', body: {}, credentials: trust(), timeout: 50 };
    await expect(postJson(caller, options)).rejects.toMatchObject({ code: 'Timeout' });
  });
});

test('over node:https it is the same', async () => {
  const { where } = await serve(echo);
  const caller = new HttpsCaller(where);
  const answer = await postJson(caller, { path: '/a', body: {}, credentials: someone.get('web')! });
  expect(answer).toEqual({ path: '/a', who: spiffe('web'), body: {} });
  caller.close();
  for (const undo of cleanups.splice(0)) await undo();
});

describe('a new key', () => {
  const machine = reactorMachine();
  const ways = {
    'node:crypto': nodeKey,
    ...('reason' in machine ? {} : { OpenSSL: opensslKey(machine.loop, machine.openssl) }),
  };

  test.each(Object.entries(ways))('by %s is one that a certificate can be for', async (_way, makeKey) => {
    const [first, second] = [createRequest(makeKey), createRequest(makeKey)];
    expect(first.key).not.toBe(second.key);
    expect(first.key).toMatch(/^-----BEGIN PRIVATE KEY-----\n/);
    const names = { spiffe: spiffe('web'), dns: 'web.shop.weir.local' };
    const { certificate } = await authority.signRequest(first.csr, names);
    expect(spiffeOf(certificate)).toBe(spiffe('web'));
    const { X509Certificate, createPrivateKey } = await import('node:crypto');
    expect(new X509Certificate(certificate).checkPrivateKey(createPrivateKey(first.key))).toBe(true);
  });
});
