import 'reflect-metadata';
import { createPublicKey, webcrypto, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { afterEach, describe, expect, test } from '@jest/globals';
import * as x509 from '@peculiar/x509';
import { FakeClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { Authority, createRoot } from './authority.ts';
import { issueCertificate } from './certificates.ts';
import { ServerCertificate } from './server-certificate.ts';

const names = { spiffe: 'spiffe://weir.local/ns/shop/sa/web', dns: 'web.shop.weir.local' };
const curve = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

async function request(subject = 'CN=admin', algorithm: object = curve) {
  const keys = (await webcrypto.subtle.generateKey(algorithm as webcrypto.EcKeyGenParams, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair;
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    name: subject,
    keys,
    signingAlgorithm: algorithm as webcrypto.EcdsaParams,
    extensions: [
      new x509.SubjectAlternativeNameExtension([
        { type: 'url', value: 'spiffe://weir.local/ns/kube-system/sa/root' },
      ]),
    ],
  });
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return {
    csr: csr.toString('pem'),
    der: Buffer.from(csr.rawData),
    key: `-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n`,
  };
}

const authority = async (options = {}) =>
  Authority.load(await createRoot('weir.local'), { trustDomain: 'weir.local', ...options });

describe('signing', () => {
  test('takes the names from the caller and none from the request', async () => {
    const ca = await authority();
    const { csr } = await request();
    const { certificate } = await ca.signRequest(csr, names);
    const parsed = new X509Certificate(certificate);
    expect(parsed.subjectAltName).toBe('URI:spiffe://weir.local/ns/shop/sa/web, DNS:web.shop.weir.local');
    expect(parsed.subject ?? '').toBe('');
    expect(parsed.ca).toBe(false);
    const root = new X509Certificate(ca.bundle);
    expect(root.ca).toBe(true);
    expect(parsed.verify(createPublicKey(ca.bundle))).toBe(true);
  });

  test('is valid from five minutes ago for the chosen lifetime', async () => {
    const clock = new FakeClock();
    const root = await createRoot('weir.local', clock);
    const ca = await Authority.load(root, { trustDomain: 'weir.local', clock, lifetime: 3_600_000 });
    const { certificate, notAfter } = await ca.signRequest((await request()).csr, names);
    const parsed = new X509Certificate(certificate);
    expect(Date.parse(parsed.validFrom)).toBe(clock.now() - 300_000);
    expect(Date.parse(parsed.validTo)).toBe(clock.now() + 3_600_000);
    expect(notAfter.getTime()).toBe(clock.now() + 3_600_000);
  });

  test('refuses a request whose signature is not its key’s, other curves, and noise', async () => {
    const ca = await authority();
    const { der } = await request();
    der[der.length - 4]! ^= 0xff;
    const forged = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
    await expect(ca.signRequest(forged, names)).rejects.toMatchObject({ code: 'BadRequest' });
    const p384 = await request('CN=x', { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' });
    await expect(ca.signRequest(p384.csr, names)).rejects.toThrow(/P-256/);
    await expect(ca.signRequest('hello', names)).rejects.toMatchObject({ code: 'BadRequest' });
  });

  test('refuses a key that is not the certificate’s, and an expired root', async () => {
    const [a, b] = [await createRoot('weir.local'), await createRoot('weir.local')];
    const options = { trustDomain: 'weir.local' };
    await expect(Authority.load({ cert: a.cert, key: b.key }, options)).rejects.toThrow(/does not belong/);
    const clock = new FakeClock(Date.now() + 4000 * 86_400_000);
    await expect(Authority.load(a, { ...options, clock })).rejects.toThrow(/expired/);
  });

  test('refuses what nobody could trust: a certificate that may not sign others, or that hangs on another', async () => {
    const generated = () =>
      webcrypto.subtle.generateKey(curve, true, ['sign', 'verify']) as Promise<webcrypto.CryptoKeyPair>;
    const [above, own] = [await generated(), await generated()];
    const pem = (der: ArrayBuffer) =>
      `-----BEGIN PRIVATE KEY-----\n${Buffer.from(der).toString('base64')}\n-----END PRIVATE KEY-----\n`;
    const key = pem(await webcrypto.subtle.exportKey('pkcs8', own.privateKey));
    const load = async (issuer: string, signer: webcrypto.CryptoKeyPair, authority: boolean) => {
      const certificate = await x509.X509CertificateGenerator.create({
        subject: 'CN=own',
        issuer,
        publicKey: own.publicKey,
        signingKey: signer.privateKey,
        signingAlgorithm: curve,
        notAfter: new Date(Date.now() + 3_600_000),
        extensions: [new x509.BasicConstraintsExtension(authority, undefined, true)],
      });
      return Authority.load({ cert: certificate.toString('pem'), key }, { trustDomain: 'weir.local' });
    };
    await expect(load('CN=own', own, false)).rejects.toThrow(/may not sign/);
    await expect(load('CN=above', above, true)).rejects.toThrow(/not a root/);
    await expect(load('CN=own', above, true)).rejects.toThrow(/not a root/);
    expect((await load('CN=own', own, true)).bundle).toContain('BEGIN CERTIFICATE');
  });

  test('the certificate comes with names of the token', async () => {
    const ca = await authority();
    const { csr } = await request();
    const verify = async () => ({ namespace: 'shop', serviceAccount: 'web' });
    const answer = await issueCertificate({ csr, token: 't' }, ca, verify);
    expect(new X509Certificate(answer.certificate).subjectAltName).toContain(names.spiffe);
    expect(answer.trust).toBe(ca.bundle);
    await expect(issueCertificate({ csr }, ca, verify)).rejects.toMatchObject({ code: 'BadRequest' });
  });
});

describe('on the wire', () => {
  const open: { close(): void }[] = [];
  afterEach(() => {
    for (const each of open.splice(0)) each.close();
  });

  test('both sides of a TLS 1.3 handshake accept what the authority issued', async () => {
    const ca = await authority();
    const server = await ca.issueServer(['weir-mesh.weir.svc']);
    const client = await request();
    const { certificate } = await ca.signRequest(client.csr, names);
    const listener = createServer(
      { ...server, ca: ca.bundle, minVersion: 'TLSv1.3', requestCert: true, rejectUnauthorized: true },
      (socket) => void socket.end(socket.getPeerX509Certificate()?.subjectAltName ?? ''),
    );
    open.push(listener);
    await once(listener.listen(0, '127.0.0.1'), 'listening');
    const { port } = listener.address() as { port: number };
    const socket: TLSSocket = connect({
      host: '127.0.0.1',
      port,
      servername: 'weir-mesh.weir.svc',
      ca: ca.bundle,
      cert: certificate,
      key: client.key,
    });
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    await once(socket, 'end');
    expect(text).toContain(names.spiffe);
  });
});

test('the server certificate is replaced before it expires', async () => {
  const clock = new FakeClock();
  const ca = await Authority.load(await createRoot('weir.local', clock), {
    trustDomain: 'weir.local',
    clock,
    lifetime: 90_000,
  });
  const certificate = new ServerCertificate({
    authority: ca,
    dnsNames: ['a.weir.svc'],
    log: silentLogger,
    clock,
  });
  const stop = new AbortController();
  await certificate.start(stop.signal);
  const first = certificate.current();
  const rotated = new Promise((resolve) => certificate.onRotate(resolve));
  await clock.advance(59_000);
  expect(certificate.current()).toBe(first);
  await clock.advance(2_000);
  await rotated;
  expect(certificate.current().cert).not.toBe(first.cert);
  stop.abort();
});
