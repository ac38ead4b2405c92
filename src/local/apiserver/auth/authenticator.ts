import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { invalid, invalidValue, notFound } from '../errors.ts';
import type { User } from '../http/request.ts';
import { at } from '../json.ts';
import type { Store } from '../storage/store.ts';
import { TokenSigner } from './tokens.ts';

export const ISSUER = 'https://kubernetes.default.svc.cluster.local';

/** Users with a token in `tokens.json`; all of them belong to system:masters. */
export const STATIC_USERS = [
  'admin',
  'system:kube-controller-manager',
  'system:kube-scheduler',
  'system:node:local',
];

interface TokenRequestSpec {
  audiences?: string[];
  expirationSeconds?: number;
  boundObjectRef?: { kind?: string; name?: string; uid?: string };
}

/** Bearer tokens: static ones of the cluster's own components, and ServiceAccount tokens. */
export class Authenticator {
  readonly #store: Store;
  readonly #signer: TokenSigner;
  readonly #now: () => number;
  readonly #byToken = new Map<string, User>();
  readonly #tokens: Record<string, string>;

  constructor(dir: string, store: Store, now: () => number) {
    this.#store = store;
    this.#now = now;
    this.#signer = new TokenSigner(dir);
    const path = join(dir, 'tokens.json');
    this.#tokens = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>) : {};
    for (const name of STATIC_USERS) this.#tokens[name] ??= randomBytes(24).toString('base64url');
    writeFileSync(path, `${JSON.stringify(this.#tokens, null, 2)}\n`, { mode: 0o600 });
    for (const [username, token] of Object.entries(this.#tokens))
      this.#byToken.set(token, { username, groups: ['system:masters', 'system:authenticated'] });
  }

  /** Token of a static user. */
  tokenFor(username: string): string {
    const token = this.#tokens[username];
    if (!token)
      throw new Error(`no token for user ${username}: choose one of ${Object.keys(this.#tokens).join(', ')}`);
    return token;
  }

  /** Who a token speaks for, if it is valid for one of the audiences. */
  authenticate(
    token: string,
    audiences: string[] = [ISSUER],
  ): { user: User; audiences: string[] } | undefined {
    const known = this.#byToken.get(token);
    if (known) return { user: known, audiences };
    const claims = this.#signer.verify(token, Math.floor(this.#now() / 1000));
    if (!claims) return undefined;
    const shared = claims.aud.filter((each) => audiences.includes(each));
    if (shared.length === 0) return undefined;
    const { namespace, serviceaccount, pod } = claims['kubernetes.io'];
    const account = this.#store.get('/serviceaccounts', namespace, serviceaccount.name);
    if (account?.object.metadata.uid !== serviceaccount.uid) return undefined;
    // A token bound to a pod ends with it.
    if (pod && this.#store.get('/pods', namespace, pod.name)?.object.metadata.uid !== pod.uid)
      return undefined;
    return {
      audiences: shared,
      user: {
        username: `system:serviceaccount:${namespace}:${serviceaccount.name}`,
        uid: serviceaccount.uid,
        groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
        ...(pod
          ? {
              extra: {
                'authentication.kubernetes.io/pod-name': [pod.name],
                'authentication.kubernetes.io/pod-uid': [pod.uid],
              },
            }
          : {}),
      },
    };
  }

  /** Answers a TokenRequest for a ServiceAccount. */
  issue(
    namespace: string,
    name: string,
    spec: TokenRequestSpec,
  ): { token: string; expirationTimestamp: string; spec: object } {
    const account = this.#store.get('/serviceaccounts', namespace, name);
    if (!account) throw notFound({ group: '', resource: 'serviceaccounts' }, name);
    const seconds = spec.expirationSeconds ?? 3600;
    if (seconds < 600)
      throw invalid('authentication.k8s.io', 'TokenRequest', name, [
        invalidValue('spec.expirationSeconds', seconds, 'may not specify a duration less than 10 minutes'),
      ]);
    const audiences = spec.audiences?.length ? spec.audiences : [ISSUER];
    const now = Math.floor(this.#now() / 1000);
    const bound = spec.boundObjectRef;
    let pod: { name: string; uid: string } | undefined;
    if (bound?.kind === 'Pod' && bound.name) {
      const found = this.#store.get('/pods', namespace, bound.name);
      if (!found) throw notFound({ group: '', resource: 'pods' }, bound.name);
      pod = { name: bound.name, uid: found.object.metadata.uid! };
    }
    const token = this.#signer.sign({
      iss: ISSUER,
      sub: `system:serviceaccount:${namespace}:${name}`,
      aud: audiences,
      exp: now + seconds,
      iat: now,
      nbf: now,
      jti: randomUUID(),
      'kubernetes.io': {
        namespace,
        serviceaccount: { name, uid: account.object.metadata.uid! },
        ...(pod ? { pod } : {}),
      },
    });
    return {
      token,
      expirationTimestamp: `${new Date((now + seconds) * 1000).toISOString().slice(0, 19)}Z`,
      spec: { audiences, expirationSeconds: seconds, ...(bound ? { boundObjectRef: bound } : {}) },
    };
  }
}

/** The token of an Authorization header. */
export function bearerToken(header: string | undefined): string | undefined {
  const match = /^Bearer\s+(.+)$/i.exec(header ?? '');
  return match?.[1]?.trim();
}

export const reviewAudiences = (body: unknown): string[] | undefined => {
  const list = at(body, 'spec', 'audiences');
  return Array.isArray(list) && list.length > 0 ? (list as string[]) : undefined;
};
