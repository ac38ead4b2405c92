import { KubeConfig } from '@kubernetes/client-node';
import type { Current } from './kubeconfig.ts';
import type { Credentials } from './transport.ts';

/** Credentials of an exec plug-in or an auth provider: client-node runs them; what it says is carried into our requests. */
export async function pluginCredentials({ cluster, user }: Current): Promise<Credentials> {
  const config = new KubeConfig();
  const name = 'current';
  const document = {
    'current-context': name,
    contexts: [{ name, context: { cluster: name, user: name } }],
    clusters: [{ name, cluster }],
    users: [{ name, user }],
  };
  config.loadFromString(JSON.stringify(document));
  const options: { headers?: Record<string, string>; auth?: string } & Credentials['tls'] = { headers: {} };
  await config.applyToHTTPSOptions(options as Parameters<KubeConfig['applyToHTTPSOptions']>[0]);
  const headers: Record<string, string> = {};
  for (const [header, value] of Object.entries(options.headers ?? {}))
    headers[header.toLowerCase()] = String(value);
  const { ca, cert, key, rejectUnauthorized, servername } = options;
  const given = Object.entries({ ca, cert, key, rejectUnauthorized, servername }).filter(
    ([, value]) => value !== undefined,
  );
  return { headers, tls: Object.fromEntries(given) };
}
