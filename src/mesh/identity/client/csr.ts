/**
 * A PKCS #10 request in a few lines of DER. The names in a certificate come from the ServiceAccount token and never
 * from the request, so the request carries a public key and the proof of owning it, nothing else; a library for that
 * would cost each sidecar megabytes.
 */
import { generateKeyPairSync, sign } from 'node:crypto';

const SEQUENCE = 0x30;
const BIT_STRING = 0x03;
/** ecdsa-with-SHA256, 1.2.840.10045.4.3.2. */
const ECDSA_SHA256 = Buffer.from('300a06082a8648ce3d040302', 'hex');
const VERSION_0 = Buffer.from('020100', 'hex');
/** [0] with no attributes. */
const NO_ATTRIBUTES = Buffer.from('a000', 'hex');

function der(tag: number, ...contents: Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

export interface KeyAndRequest {
  /** PKCS #8, PEM. */
  key: string;
  /** PKCS #10, PEM. */
  csr: string;
}

/**
 * Makes a P-256 key, PKCS #8 in PEM, and signs what `signed` makes of its SubjectPublicKeyInfo in DER: ECDSA with SHA-256.
 */
export type MakeKey = (signed: (spki: Buffer) => Buffer) => { pem: string; signature: Buffer };

/** By node:crypto. */
export const nodeKey: MakeKey = (signed) => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  return {
    pem: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    signature: sign('sha256', signed(publicKey.export({ type: 'spki', format: 'der' })), privateKey),
  };
};

/** A new P-256 key and a certificate request with an empty subject, signed by it. */
export function createRequest(makeKey: MakeKey = nodeKey): KeyAndRequest {
  let info: Buffer = Buffer.alloc(0);
  const { pem, signature } = makeKey((spki) => {
    info = der(SEQUENCE, VERSION_0, der(SEQUENCE), spki, NO_ATTRIBUTES);
    return info;
  });
  const request = der(SEQUENCE, info, ECDSA_SHA256, der(BIT_STRING, Buffer.from([0]), signature));
  const base64 = request.toString('base64').replace(/.{64}(?=.)/g, '$&\n');
  return {
    key: pem,
    csr: `-----BEGIN CERTIFICATE REQUEST-----\n${base64}\n-----END CERTIFICATE REQUEST-----\n`,
  };
}

/** A general name that is a URI (RFC 5280, 4.2.1.6). */
const URI = 0x86;
const SPIFFE = Buffer.from('spiffe://');

/** The SPIFFE id that a certificate of Weir's names, to be told; nothing is checked. PEM, the first of a chain. */
export function spiffeOf(certificate: string): string | undefined {
  const [, base64 = ''] = /-----BEGIN CERTIFICATE-----([^-]+)/.exec(certificate) ?? [];
  const bytes = Buffer.from(base64, 'base64');
  for (let at = bytes.indexOf(SPIFFE); at > 0; at = bytes.indexOf(SPIFFE, at + 1)) {
    // One length byte up to 127, one more before it up to 255 (X.690, 8.1.3).
    const length = bytes[at - 1]!;
    const tag = bytes[at - 2] === 0x81 ? bytes[at - 3] : bytes[at - 2];
    if (tag === URI) return bytes.toString('latin1', at, at + length);
  }
  return undefined;
}
