import { mkdirSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type Logger, silentLogger } from '../../lib/log.ts';
import { Webhooks } from './admission/webhooks.ts';
import { Authenticator } from './auth/authenticator.ts';
import { Rbac } from './auth/rbac.ts';
import { servingCertificate } from './certificates.ts';
import type { ServerContext } from './context.ts';
import { createHandler } from './http/handler.ts';
import { startLifecycle } from './lifecycle.ts';
import { Registry } from './registry.ts';
import { ServiceAddresses } from './service-addresses.ts';
import { Store } from './storage/store.ts';

export interface ApiServerOptions {
  /** Everything durable: objects, keys, certificates, tokens. Container logs are read from `<dir>/pods`. */
  dir: string;
  host?: string;
  /** 0 (the default) takes a free one. */
  port?: number;
  /** Range of Service addresses, for example `127.42.240.0/20`. */
  serviceCidr?: string;
  log?: Logger;
}

export interface ApiServer {
  url: string;
  /** PEM of the CA that signed the serving certificate. */
  ca: string;
  /** A kubeconfig document for a static user such as `admin` or `system:kube-controller-manager`. */
  kubeconfigFor(user: string): object;
  tokenFor(user: string): string;
  stop(): Promise<void>;
}

/** Starts a Kubernetes API server; it answers when this resolves. */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const { dir, host = '127.0.0.1', port = 0, serviceCidr = '127.96.0.0/16', log = silentLogger } = options;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const hosts = [...new Set([host, '127.0.0.1', 'localhost', 'kubernetes.default.svc'])].filter(
    (each) => each !== '0.0.0.0',
  );
  const { ca, cert, key } = await servingCertificate(dir, hosts);
  const store = new Store(dir);
  const now = Date.now;
  const context: ServerContext = {
    dir,
    store,
    registry: new Registry(),
    webhooks: new Webhooks(store, log),
    addresses: new ServiceAddresses(serviceCidr, store),
    authenticator: new Authenticator(dir, store, now),
    log,
    now,
  };
  const stopLifecycle = startLifecycle(context);
  const stopping = new AbortController();
  const server = createServer(
    {
      cert,
      key,
      ALPNProtocols: ['http/1.1'],
      minVersion: 'TLSv1.2',
      keepAliveTimeout: 120_000,
      requestTimeout: 0,
    },
    createHandler(context, new Rbac(store), stopping.signal),
  );
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const address = server.address() as AddressInfo;
  const url = `https://${host === '0.0.0.0' ? '127.0.0.1' : host}:${address.port}`;
  const tokenFor = (user: string) => context.authenticator.tokenFor(user);
  log.info({ url }, 'API server is ready');
  return {
    url,
    ca,
    tokenFor,
    kubeconfigFor: (user) => kubeconfig(url, ca, user, tokenFor(user)),
    async stop() {
      stopping.abort();
      stopLifecycle();
      // Answers in flight get a moment; a client that reads nothing does not hold the process.
      await new Promise<void>((resolve) => {
        const force = setTimeout(() => server.closeAllConnections(), 500);
        server.close(() => {
          clearTimeout(force);
          resolve();
        });
        server.closeIdleConnections();
      });
      store.close();
    },
  };
}

/** A kubeconfig with one cluster, one user and one context, all named `weir-local`. */
export function kubeconfig(server: string, ca: string, user: string, token: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'weir-local',
        cluster: { server, 'certificate-authority-data': Buffer.from(ca).toString('base64') },
      },
    ],
    users: [{ name: user, user: { token } }],
    contexts: [{ name: 'weir-local', context: { cluster: 'weir-local', user } }],
    'current-context': 'weir-local',
    preferences: {},
  };
}
