import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { afterEach, describe, expect, test } from '@jest/globals';
import { X509CertificateGenerator } from '@peculiar/x509';
import { Transport } from './transport.ts';

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

async function eventually(check: () => boolean): Promise<void> {
  while (!check()) await new Promise((resolve) => setTimeout(resolve, 5));
}
