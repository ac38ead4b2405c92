import { createSign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The API server grants a minute of clock skew (go-jose's default leeway). */
const LEEWAY_SECONDS = 60;

const decode = (part: string) =>
  JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>;
const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');

/**
 * The same bound token with another end, signed by the cluster's own key: a TokenRequest gives none under ten minutes.
 * `seconds` from now it stops being accepted; it was issued before.
 */
export function withLifetime(token: string, seconds: number, dir: string): string {
  const [head = '', body = ''] = token.split('.');
  const exp = Math.floor(Date.now() / 1000) + seconds - LEEWAY_SECONDS;
  const { warnafter: _, ...bound } = decode(body)['kubernetes.io'] as Record<string, unknown>;
  const claims = { ...decode(body), exp, iat: exp - 3600, nbf: exp - 3600, 'kubernetes.io': bound };
  const signed = `${head}.${encode(claims)}`;
  const signature = createSign('RSA-SHA256')
    .update(signed)
    .sign(readFileSync(join(dir, 'pki/sa.key')));
  return `${signed}.${signature.toString('base64url')}`;
}
