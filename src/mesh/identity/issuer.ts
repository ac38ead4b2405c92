import { kinds } from '../../api/kinds.ts';
import type { KubeObject } from '../../api/meta.ts';
import { ISSUER_SECRET } from '../../api/names.ts';
import type { KubeClient } from '../../kube/types.ts';
import { AppError, isCode } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import { Authority, type AuthorityOptions, createRoot, type KeyPair } from './authority.ts';

interface IssuerSecret extends KubeObject {
  type?: string;
  data?: Record<string, string>;
}

/**
 * Reads the mesh's CA from Secret `weir-identity-issuer`, or makes one. Replicas that start together race to create it:
 * the API server lets one win, the others read the winner's. What exists is never overwritten, however broken: every
 * certificate of the mesh hangs on it.
 */
export async function loadOrCreateIssuer(options: {
  client: KubeClient;
  namespace: string;
  log: Logger;
  authority: AuthorityOptions;
}): Promise<Authority> {
  const { client, namespace, log, authority } = options;
  const existing = await client.find<IssuerSecret>(kinds.Secret, namespace, ISSUER_SECRET);
  if (existing) return Authority.load(pairOf(existing, namespace), authority);
  const pair = await createRoot(authority.trustDomain, authority.clock);
  try {
    await client.create<IssuerSecret>(kinds.Secret, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: ISSUER_SECRET, namespace, labels: { 'app.kubernetes.io/part-of': 'weir' } },
      type: 'kubernetes.io/tls',
      data: { 'tls.crt': encode(pair.cert), 'tls.key': encode(pair.key) },
    });
    log.info({ secret: `${namespace}/${ISSUER_SECRET}` }, 'created the identity issuer');
    return Authority.load(pair, authority);
  } catch (thrown) {
    if (!isCode(thrown, 'AlreadyExists', 'Conflict')) throw thrown;
    const winner = await client.get<IssuerSecret>(kinds.Secret, namespace, ISSUER_SECRET);
    return Authority.load(pairOf(winner, namespace), authority);
  }
}

function pairOf(secret: IssuerSecret, namespace: string): KeyPair {
  const cert = secret.data?.['tls.crt'];
  const key = secret.data?.['tls.key'];
  if (!cert || !key)
    throw new AppError(
      'Invalid',
      `Secret ${namespace}/${ISSUER_SECRET} lacks tls.crt or tls.key: restore it from a backup, or delete it to start a new trust root (every meshed pod must then be restarted)`,
    );
  return { cert: Buffer.from(cert, 'base64').toString(), key: Buffer.from(key, 'base64').toString() };
}

const encode = (text: string): string => Buffer.from(text).toString('base64');
