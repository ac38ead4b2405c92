import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { afterEach, describe, expect, test } from '@jest/globals';
import { X509CertificateGenerator } from '@peculiar/x509';
import { type Credentials, readBody, Transport } from './transport.ts';

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

async function selfSigned(): Promise<{ cert: string; key: string }> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned(
    { keys, name: 'CN=localhost' },
    webcrypto,
  );
  const der = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  const key = `-----BEGIN PRIVATE KEY-----\n${Buffer.from(der).toString('base64')}\n-----END PRIVATE KEY-----\n`;
  return { cert: certificate.toString('pem'), key };
}

/** A server that takes connections and answers nothing, and a transport to it. */
async function silent(secure: boolean, idleMs = 60_000) {
  const material = await selfSigned();
  const heard: { asked: Promise<void>; end: Promise<string> }[] = [];
  const listener = (socket: Socket) => {
    heard.push({
      asked: new Promise((resolve) => socket.once('data', () => resolve())),
      end: new Promise((resolve) => {
        socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
        socket.on('end', () => resolve('end'));
      }),
    });
  };
  const server: Server = secure ? createTlsServer(material, listener) : createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const transport = new Transport(`http${secure ? 's' : ''}://127.0.0.1:${port}`, async () => ({
    headers: {},
    tls: secure ? { ca: material.cert, servername: 'localhost' } : {},
  }));
  ends.push(() => {
    transport.close();
    server.close();
  });
  const abort = new AbortController();
  const ask = (method: string) =>
    transport
      .open({ method, path: '/a', idleMs, signal: abort.signal, body: '{}' })
      .catch((error: unknown) => error);
  return { ask, heard, abort };
}

describe.each([
  ['TLS', true],
  ['plain HTTP', false],
])('a request that is given up, over %s', (_name, secure) => {
  test('has its connection reset: nothing of it arrives later', async () => {
    const { ask, heard, abort } = await silent(secure);
    const answer = ask('PATCH');
    await eventually(() => heard.length === 1);
    await heard[0]!.asked;
    abort.abort();
    expect(await answer).toMatchObject({ code: 'Aborted' });
    expect(await heard[0]!.end).toBe('ECONNRESET');
  });

  test('also when the server was silent for too long', async () => {
    const { ask, heard } = await silent(secure, 100);
    expect(await ask('POST')).toMatchObject({ code: 'Timeout' });
    expect(await heard[0]!.end).toBe('ECONNRESET');
  });
});

describe('connections', () => {
  /** A server that answers when told, and a transport to it whose credentials may change. */
  async function answering() {
    const material = await selfSigned();
    const open: { url: string; answer: () => void }[] = [];
    const sockets = new Set<object>();
    const server = createHttpsServer(material, (request, response) => {
      sockets.add(request.socket);
      open.push({ url: request.url!, answer: () => response.end('done') });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const credentials = { tls: { ca: material.cert, servername: 'localhost' } as Credentials['tls'] };
    const transport = new Transport(`https://127.0.0.1:${port}`, async () => ({
      headers: {},
      ...credentials,
    }));
    ends.push(() => {
      transport.close();
      server.closeAllConnections();
      server.close();
    });
    const call = async (path: string, signal?: AbortSignal) =>
      readBody(await transport.open({ method: 'GET', path, idleMs: 60_000, ...(signal ? { signal } : {}) }));
    const watch = (path: string) => transport.open({ method: 'GET', path, idleMs: 60_000 }, true);
    return { open, sockets, credentials, call, watch, material };
  }

  test('a watch goes on where its list was read, and credentials that were read again are the same', async () => {
    const { open, sockets, credentials, call, watch } = await answering();
    const list = call('/list');
    await eventually(() => open.length === 1);
    open[0]!.answer();
    await list;
    credentials.tls = { ...credentials.tls };
    const watching = watch('/watch');
    await eventually(() => open.length === 2);
    expect(sockets.size).toBe(1);
    // The watch holds it: the next call has a connection of its own.
    const next = call('/next');
    await eventually(() => open.length === 3);
    expect(sockets.size).toBe(2);
    for (const { answer } of open) answer();
    await Promise.all([next, watching.then(readBody)]);
  });

  test('credentials that were replaced are used from then on', async () => {
    const { open, sockets, credentials, call, material } = await answering();
    const before = call('/before');
    await eventually(() => open.length === 1);
    credentials.tls = { ca: `${material.cert}\n${(await selfSigned()).cert}`, servername: 'localhost' };
    const after = call('/after');
    await eventually(() => open.length === 2);
    expect(sockets.size).toBe(2);
    for (const { answer } of open) answer();
    expect(await Promise.all([before, after])).toEqual(['done', 'done']);
  });

  test('a body that was cut off before anybody read it is an error, and does not keep its reader for ever', async () => {
    const { open, watch } = await answering();
    const asked = watch('/watch');
    await eventually(() => open.length === 1);
    open[0]!.answer();
    const response = await asked;
    response.destroy();
    await new Promise((resolve) => response.once('close', resolve));
    await expect(readBody(response)).rejects.toMatchObject({ code: 'Unavailable' });
  });

  /** Calls at a time as long as nothing is known of the server. */
  const FIRST = 16;

  test('so many calls at a time; watches do not count, and whoever gives up waiting is gone', async () => {
    const { open, call, watch } = await answering();
    const abort = new AbortController();
    const calls = Array.from({ length: FIRST }, (_, each) => call(`/${each}`));
    await eventually(() => open.length === FIRST);
    const givenUp = call('/given-up', abort.signal).catch((error: unknown) => error);
    const last = call('/last');
    const watching = watch('/watch');
    await eventually(() => open.length === FIRST + 1);
    abort.abort();
    expect(await givenUp).toMatchObject({ code: 'Aborted' });
    open[0]!.answer();
    await eventually(() => open.length === FIRST + 2);
    expect(open.slice(FIRST).map(({ url }) => url)).toEqual(['/watch', '/last']);
    for (const { answer } of open) answer();
    await Promise.all([...calls, last, watching.then(readBody)]);
  });
});

async function eventually(check: () => boolean): Promise<void> {
  while (!check()) await new Promise((resolve) => setTimeout(resolve, 5));
}
