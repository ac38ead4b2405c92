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

/** A new P-256 key and a certificate request with an empty subject, signed by it. */
export function createRequest(): KeyAndRequest {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const info = der(
    SEQUENCE,
    VERSION_0,
    der(SEQUENCE),
    publicKey.export({ type: 'spki', format: 'der' }),
    NO_ATTRIBUTES,
  );
  const signature = sign('sha256', info, privateKey);
  const request = der(SEQUENCE, info, ECDSA_SHA256, der(BIT_STRING, Buffer.from([0]), signature));
  const base64 = request.toString('base64').replace(/.{64}(?=.)/g, '$&\n');
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    csr: `-----BEGIN CERTIFICATE REQUEST-----\n${base64}\n-----END CERTIFICATE REQUEST-----\n`,
  };
}
