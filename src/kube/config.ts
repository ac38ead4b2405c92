import { readFile } from 'node:fs/promises';
import { AppError, toAppError } from '../lib/errors.ts';
import { type Chosen, type Cluster, type Current, currentContext, type User } from './kubeconfig.ts';
import type { Credentials } from './transport.ts';

/** Milliseconds that read credentials stay good, as in client-go: bound tokens rotate under us. */
const FRESH_MS = 60_000;

/** Says what a person can do about a kubeconfig, or what it names, that cannot be read. */
async function reading<T>(what: Promise<T>): Promise<T> {
  try {
    return await what;
  } catch (error) {
    throw new AppError(
      'Invalid',
      `cannot read the kubeconfig: ${toAppError(error).message}; check --kubeconfig and $KUBECONFIG, or start a cluster with \`weir local up\``,
      { cause: error },
    );
  }
}

async function load(chosen: Chosen): Promise<Current> {
  const { kubeconfig } = chosen;
  const current = await reading(currentContext(chosen));
  if (current) return current;
  if (kubeconfig)
    throw new AppError(
      'Invalid',
      `${kubeconfig} names no current context: choose one with \`kubectl config use-context NAME --kubeconfig ${kubeconfig}\``,
    );
  throw new AppError(
    'Invalid',
    'no cluster is configured: set KUBECONFIG or --kubeconfig, or start one with `weir local up`',
  );
}

/** Where the cluster is and how to speak to it: the flag, else $KUBECONFIG, else ~/.kube/config, else in-cluster. */
export class ClusterAccess {
  readonly server: string;
  /** Of the context. */
  readonly namespace: string;
  readonly #chosen: Chosen;
  #loaded: Promise<Current>;
  #cached: { credentials: Promise<Credentials>; at: number } | undefined;

  private constructor(chosen: Chosen, current: Current) {
    this.server = current.cluster.server;
    this.namespace = current.namespace ?? 'default';
    this.#chosen = chosen;
    this.#loaded = Promise.resolve(current);
  }

  static async open(chosen: Chosen = {}): Promise<ClusterAccess> {
    return new ClusterAccess(chosen, await load(chosen));
  }

  credentials(): Promise<Credentials> {
    const now = Date.now();
    if (this.#cached && now - this.#cached.at < FRESH_MS) return this.#cached.credentials;
    if (this.#cached) this.#loaded = load(this.#chosen);
    const credentials = this.#loaded.then((current) => reading(credentialsOf(current)));
    this.#cached = { credentials, at: now };
    credentials.catch(() => this.forget());
    return credentials;
  }

  /** Called on 401: the next request reads everything again. */
  forget(): void {
    if (this.#cached) this.#cached.at = 0;
  }
}

/** Tokens, certificates and passwords as they stand; only a plug-in or a provider needs client-node, which is large. */
export async function credentialsOf({ cluster, user }: Current): Promise<Credentials> {
  if (cluster.server.startsWith('http:') && !cluster['insecure-skip-tls-verify']) {
    throw new AppError(
      'Invalid',
      `${cluster.server} is plain HTTP, which would show the credentials to everybody: use https, or set insecure-skip-tls-verify on the cluster in the kubeconfig`,
    );
  }
  if (user.exec || user['auth-provider']) {
    return (await import('./plugin-credentials.ts')).pluginCredentials({ cluster, user });
  }
  return { headers: await headersOf(user), tls: await tlsOf(cluster, user) };
}

async function headersOf(user: User): Promise<Record<string, string>> {
  const headers: Record<string, string> = {};
  const token = user.tokenFile ? (await readFile(user.tokenFile, 'utf8')).trim() : user.token;
  if (token) headers.authorization = `Bearer ${token}`;
  else if (user.username) {
    headers.authorization = `Basic ${Buffer.from(`${user.username}:${user.password ?? ''}`).toString('base64')}`;
  }
  if (user.as) headers['impersonate-user'] = user.as;
  return headers;
}

async function tlsOf(cluster: Cluster, user: User): Promise<Credentials['tls']> {
  const either = async (file: string | undefined, data: string | undefined) => {
    // Data wins over a file, as in client-go.
    const pem = data ? Buffer.from(data, 'base64') : file ? await readFile(file) : undefined;
    if (pem && !pem.includes('-----BEGIN '))
      throw new AppError('Invalid', `${data ? 'a certificate or key in it' : file} is not PEM`);
    return pem;
  };
  const [ca, cert, key] = await Promise.all([
    either(cluster['certificate-authority'], cluster['certificate-authority-data']),
    either(user['client-certificate'], user['client-certificate-data']),
    either(user['client-key'], user['client-key-data']),
  ]);
  return {
    ...(ca ? { ca } : {}),
    ...(cert ? { cert } : {}),
    ...(key ? { key } : {}),
    ...(cluster['insecure-skip-tls-verify'] ? { rejectUnauthorized: false } : {}),
    ...(cluster['tls-server-name'] ? { servername: cluster['tls-server-name'] } : {}),
  };
}
