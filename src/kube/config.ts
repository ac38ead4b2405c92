import { existsSync, readFileSync } from 'node:fs';
import { delimiter } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { parse } from 'yaml';
import { AppError, toAppError } from '../lib/errors.ts';
import type { Credentials } from './transport.ts';

/** Milliseconds that read credentials stay good, as in client-go: bound tokens rotate under us, and client-node reads them at load. */
const FRESH_MS = 60_000;

function load(kubeconfig: string | undefined): KubeConfig {
  const config = new KubeConfig();
  try {
    if (kubeconfig) {
      if (!existsSync(kubeconfig)) throw new AppError('NotFound', `kubeconfig ${kubeconfig} does not exist`);
      config.loadFromFile(kubeconfig);
    } else config.loadFromDefault();
    readTokenFile(config, kubeconfig);
  } catch (error) {
    throw new AppError(
      'Invalid',
      `cannot read the kubeconfig: ${toAppError(error).message}; check --kubeconfig and $KUBECONFIG, or start a cluster with \`weir local up\``,
      { cause: error },
    );
  }
  return config;
}

/** kubectl's `tokenFile`, which client-node does not know: the token of the current user, read afresh at each load. */
function readTokenFile(config: KubeConfig, kubeconfig: string | undefined): void {
  const user = config.getCurrentUser();
  const paths = kubeconfig ? [kubeconfig] : (process.env.KUBECONFIG ?? '').split(delimiter);
  if (!user || user.token) return;
  for (const path of paths.filter((each) => each !== '' && existsSync(each))) {
    const file = parse(readFileSync(path, 'utf8')) as {
      users?: { name: string; user?: { tokenFile?: string } }[];
    };
    const tokenFile = file?.users?.find(({ name }) => name === user.name)?.user?.tokenFile;
    if (tokenFile) {
      const token = readFileSync(tokenFile, 'utf8').trim();
      config.users = config.users.map((each) => (each.name === user.name ? { ...each, token } : each));
      return;
    }
  }
}

/** Where the cluster is and how to speak to it: the flag, else $KUBECONFIG, else in-cluster, else ~/.kube/config. */
export class ClusterAccess {
  readonly server: string;
  readonly #kubeconfig: string | undefined;
  #config: KubeConfig;
  #cached: { credentials: Promise<Credentials>; at: number } | undefined;

  constructor(kubeconfig?: string) {
    this.#kubeconfig = kubeconfig;
    this.#config = load(kubeconfig);
    const cluster = this.#config.getCurrentCluster();
    // With no configuration at all client-node makes one up.
    if (!cluster || cluster.server === 'http://localhost:8080') {
      throw new AppError(
        'Invalid',
        'no cluster is configured: set KUBECONFIG or --kubeconfig, or start one with `weir local up`',
      );
    }
    this.server = cluster.server;
  }

  credentials(): Promise<Credentials> {
    const now = Date.now();
    if (this.#cached && now - this.#cached.at < FRESH_MS) return this.#cached.credentials;
    if (this.#cached) this.#config = load(this.#kubeconfig);
    const credentials = credentialsOf(this.#config);
    this.#cached = { credentials, at: now };
    credentials.catch(() => {
      this.#cached = undefined;
    });
    return credentials;
  }

  /** Called on 401: the next request reads everything again. */
  forget(): void {
    if (this.#cached) this.#cached.at = 0;
  }
}

/** client-node does TLS files, tokens and exec plug-ins; only what it says is carried into our requests. */
async function credentialsOf(config: KubeConfig): Promise<Credentials> {
  const options: { headers?: Record<string, string>; auth?: string } & Credentials['tls'] = { headers: {} };
  await config.applyToHTTPSOptions(options as Parameters<KubeConfig['applyToHTTPSOptions']>[0]);
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(options.headers ?? {}))
    headers[name.toLowerCase()] = String(value);
  if (options.auth && !headers.authorization) {
    headers.authorization = `Basic ${Buffer.from(options.auth).toString('base64')}`;
  }
  const { ca, cert, key, rejectUnauthorized, servername } = options;
  const given = Object.entries({ ca, cert, key, rejectUnauthorized, servername }).filter(
    ([, value]) => value !== undefined,
  );
  return { headers, tls: Object.fromEntries(given) };
}
