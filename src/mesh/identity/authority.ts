import 'reflect-metadata';
import { randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { type Clock, systemClock } from '../../lib/clock.ts';
import { AppError } from '../../lib/errors.ts';

// Node's WebCrypto: the library's default provider in other hosts may be a polyfill.
x509.cryptoProvider.set(webcrypto);

const CURVE = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNING = { name: 'ECDSA', hash: 'SHA-256' } as const;
const DAY = 86_400_000;
/** Clocks of nodes differ: a certificate is valid a little before it was signed. */
const BACKDATE = 5 * 60_000;
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';

export interface KeyPair {
  /** PEM. */
  cert: string;
  /** PKCS#8 PEM. */
  key: string;
}

export interface Issued {
  /** PEM, leaf first. */
  certificate: string;
  notAfter: Date;
}

export interface AuthorityOptions {
  trustDomain: string;
  /** Milliseconds a workload's certificate lives. */
  lifetime?: number;
  clock?: Clock;
}

/** Makes the root of a new mesh: P-256, ten years, path length 0. */
export async function createRoot(trustDomain: string, clock: Clock = systemClock): Promise<KeyPair> {
  const keys = await webcrypto.subtle.generateKey(CURVE, true, ['sign', 'verify']);
  const now = clock.now();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: `CN=identity.${trustDomain}`,
    notBefore: new Date(now - BACKDATE),
    notAfter: new Date(now + 3650 * DAY),
    keys,
    signingAlgorithm: SIGNING,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: certificate.toString('pem'), key: await exportKey(keys.privateKey) };
}

/** The mesh's certificate authority: signs what it is told to, whatever a request asks for. */
export class Authority {
  readonly trustDomain: string;
  readonly #certificate: x509.X509Certificate;
  readonly #key: webcrypto.CryptoKey;
  readonly #lifetime: number;
  readonly #clock: Clock;

  private constructor(
    certificate: x509.X509Certificate,
    key: webcrypto.CryptoKey,
    options: AuthorityOptions,
  ) {
    this.#certificate = certificate;
    this.#key = key;
    this.trustDomain = options.trustDomain;
    this.#lifetime = options.lifetime ?? DAY;
    this.#clock = options.clock ?? systemClock;
  }

  /** Checks that key and certificate belong together before anything is signed with them. */
  static async load(pair: KeyPair, options: AuthorityOptions): Promise<Authority> {
    const clock = options.clock ?? systemClock;
    try {
      const certificate = new x509.X509Certificate(pair.cert);
      const key = await webcrypto.subtle.importKey('pkcs8', derOf(pair.key), CURVE, false, ['sign']);
      const probe = randomBytes(16);
      const signature = await webcrypto.subtle.sign(SIGNING, key, probe);
      const publicKey = await certificate.publicKey.export(CURVE, ['verify'], webcrypto);
      if (!(await webcrypto.subtle.verify(SIGNING, publicKey, signature, probe)))
        throw new Error('the key does not belong to the certificate');
      if (certificate.notAfter.getTime() <= clock.now()) throw new Error('the certificate has expired');
      // Its peers would find out one by one: OpenSSL trusts what a root has signed, and no authority beneath one alone.
      const read = new X509Certificate(pair.cert);
      if (!read.ca) throw new Error('the certificate may not sign others (basicConstraints CA:TRUE)');
      if (!read.checkIssued(read) || !read.verify(read.publicKey))
        throw new Error('the certificate is not a root: it was signed by another');
      return new Authority(certificate, key, options);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new AppError(
        'Invalid',
        `The identity issuer cannot be used: ${reason}. It must be a self-signed P-256 certificate (tls.crt) of an authority and its PKCS#8 key (tls.key)`,
        { cause },
      );
    }
  }

  /** PEM of every root that peers should trust. */
  get bundle(): string {
    return `${this.#certificate.toString('pem').trim()}\n`;
  }

  /** Signs a workload's CSR for the given SPIFFE id and DNS name; names inside the CSR are ignored. */
  async signRequest(csr: string, names: { spiffe: string; dns: string }): Promise<Issued> {
    let request: x509.Pkcs10CertificateRequest;
    try {
      request = new x509.Pkcs10CertificateRequest(csr);
      // Proof of possession: without it, anyone could have a certificate for a key that is not theirs.
      if (!(await request.verify(webcrypto))) throw new Error('its signature does not match its key');
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new AppError('BadRequest', `csr must be a PEM certificate request: ${reason}`, { cause });
    }
    const algorithm = request.publicKey.algorithm as { name: string; namedCurve?: string };
    if (algorithm.name !== 'ECDSA' || algorithm.namedCurve !== 'P-256')
      throw new AppError('BadRequest', 'csr must carry a P-256 key: make one with namedCurve P-256');
    return this.#issue(
      request.publicKey,
      [
        { type: 'url', value: names.spiffe },
        { type: 'dns', value: names.dns },
      ],
      [SERVER_AUTH, CLIENT_AUTH],
    );
  }

  /** A key and certificate for a server of the control plane. */
  async issueServer(dnsNames: string[]): Promise<KeyPair & { notAfter: Date }> {
    const keys = await webcrypto.subtle.generateKey(CURVE, true, ['sign', 'verify']);
    const { certificate, notAfter } = await this.#issue(
      keys.publicKey,
      dnsNames.map((value) => ({ type: 'dns' as const, value })),
      [SERVER_AUTH],
    );
    return { cert: certificate, key: await exportKey(keys.privateKey), notAfter };
  }

  async #issue(
    publicKey: x509.PublicKey | webcrypto.CryptoKey,
    names: { type: 'url' | 'dns'; value: string }[],
    usages: string[],
  ): Promise<Issued> {
    const now = this.#clock.now();
    // Never longer than the root: a chain is as good as its shortest link.
    const notAfter = new Date(Math.min(now + this.#lifetime, this.#certificate.notAfter.getTime()));
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: serial(),
      issuer: this.#certificate.subject,
      notBefore: new Date(now - BACKDATE),
      notAfter,
      publicKey,
      signingKey: this.#key,
      signingAlgorithm: SIGNING,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension(usages, false),
        // Critical, since the subject is empty (RFC 5280, 4.2.1.6).
        new x509.SubjectAlternativeNameExtension(names, true),
        await x509.AuthorityKeyIdentifierExtension.create(this.#certificate, false),
      ],
    });
    return { certificate: `${certificate.toString('pem').trim()}\n`, notAfter };
  }
}

function serial(): string {
  const bytes = randomBytes(16);
  // Positive and without a leading zero octet (RFC 5280, 4.1.2.2).
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString('hex');
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64');
  return `-----BEGIN PRIVATE KEY-----\n${der.replace(/.{64}(?=.)/g, '$&\n')}\n-----END PRIVATE KEY-----\n`;
}

function derOf(pem: string): Buffer {
  const body = /-----BEGIN PRIVATE KEY-----([^-]+)-----END PRIVATE KEY-----/.exec(pem)?.[1];
  if (!body) throw new Error('tls.key is not a PKCS#8 private key');
  return Buffer.from(body, 'base64');
}
