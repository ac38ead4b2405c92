import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Claims {
  iss: string;
  sub: string;
  aud: string[];
  exp: number;
  iat: number;
  nbf: number;
  jti?: string;
  'kubernetes.io': {
    namespace: string;
    serviceaccount: { name: string; uid: string };
    pod?: { name: string; uid: string };
  };
}

/** Signatures that are remembered. */
const CHECKED = 5000;

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Signs and checks ServiceAccount tokens (ES256) with a key that survives restarts. */
export class TokenSigner {
  readonly #key: KeyObject;
  readonly #public: KeyObject;
  /** What good signatures said, by token: a client sends the same one with each request. */
  readonly #checked = new Map<string, Claims>();

  constructor(dir: string) {
    const path = join(dir, 'service-account.key');
    if (!existsSync(path)) {
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      writeFileSync(path, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    }
    this.#key = createPrivateKey(readFileSync(path));
    this.#public = createPublicKey(this.#key);
  }

  sign(claims: Claims): string {
    const text = `${encode({ alg: 'ES256', typ: 'JWT' })}.${encode(claims)}`;
    const signature = sign('sha256', Buffer.from(text), { key: this.#key, dsaEncoding: 'ieee-p1363' });
    return `${text}.${signature.toString('base64url')}`;
  }

  /** The claims of a token that this signer made and that has not expired; undefined for anything else. */
  verify(token: string, nowSeconds: number): Claims | undefined {
    const claims = this.#checked.get(token) ?? this.#check(token);
    return claims && claims.exp > nowSeconds && claims.nbf <= nowSeconds + 5 ? claims : undefined;
  }

  #check(token: string): Claims | undefined {
    const parts = token.split('.');
    if (parts.length !== 3) return undefined;
    const [header, payload, signature] = parts as [string, string, string];
    const good = verify(
      'sha256',
      Buffer.from(`${header}.${payload}`),
      { key: this.#public, dsaEncoding: 'ieee-p1363' },
      Buffer.from(signature, 'base64url'),
    );
    if (!good) return undefined;
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Claims;
    if (this.#checked.size >= CHECKED) this.#checked.clear();
    this.#checked.set(token, claims);
    return claims;
  }
}
