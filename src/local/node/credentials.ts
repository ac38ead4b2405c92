import { join } from 'node:path';
import { credentialsOf } from '../../kube/config.ts';
import { currentContext } from '../../kube/kubeconfig.ts';
import type { KubeClient } from '../../kube/types.ts';
import { AppError } from '../../lib/errors.ts';
import type { NodePod } from './types.ts';
import { writeIfChanged } from './volumes.ts';

/** How the API server is reached: taken from the kubeconfig that the node itself uses. */
export interface ClusterAccess {
  server: string;
  ca: string;
}

const LIFETIME_SECONDS = 24 * 3600;
const RENEW_AT = 0.8;

export async function readAccess(kubeconfig: string): Promise<ClusterAccess> {
  const current = await currentContext({ kubeconfig });
  if (!current)
    throw new AppError('Invalid', `${kubeconfig} names no cluster: write it anew with \`weir local up\``);
  const { tls } = await credentialsOf(current);
  return { server: current.cluster.server, ca: tls.ca?.toString() ?? '' };
}

/** The tokens of one pod: bound to it, one per audience, renewed before they run out. */
export class PodTokens {
  readonly #client: KubeClient;
  readonly #pod: NodePod;
  readonly #tokens = new Map<string, { token: string; renewAt: number }>();

  constructor(client: KubeClient, pod: NodePod) {
    this.#client = client;
    this.#pod = pod;
  }

  async get(audience?: string): Promise<string> {
    const known = this.#tokens.get(audience ?? '');
    if (known && Date.now() < known.renewAt) return known.token;
    const { name, namespace = 'default', uid } = this.#pod.metadata;
    const account = this.#pod.spec.serviceAccountName || 'default';
    const response = (await this.#client.request(
      'POST',
      `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`,
      {
        body: {
          apiVersion: 'authentication.k8s.io/v1',
          kind: 'TokenRequest',
          spec: {
            ...(audience ? { audiences: [audience] } : {}),
            expirationSeconds: LIFETIME_SECONDS,
            boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid },
          },
        },
      },
    )) as { status: { token: string; expirationTimestamp: string } };
    const { token, expirationTimestamp } = response.status;
    const left = Date.parse(expirationTimestamp) - Date.now();
    this.#tokens.set(audience ?? '', { token, renewAt: Date.now() + left * RENEW_AT });
    return token;
  }
}

/**
 * Writes what a container needs to reach the API server as the pod's ServiceAccount: the files of a cluster, and a
 * kubeconfig, since there is no Service address to find it by. Answers the kubeconfig's path.
 */
export async function writeCredentials(
  folder: string,
  pod: NodePod,
  tokens: PodTokens,
  access: ClusterAccess,
): Promise<string> {
  const tokenFile = join(folder, 'token');
  writeIfChanged(tokenFile, await tokens.get(), 0o600);
  writeIfChanged(join(folder, 'ca.crt'), access.ca);
  writeIfChanged(join(folder, 'namespace'), pod.metadata.namespace ?? 'default');
  const kubeconfig = join(folder, 'kubeconfig');
  const name = 'local';
  const cluster = {
    server: access.server,
    'certificate-authority-data': Buffer.from(access.ca).toString('base64'),
  };
  const content = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster }],
    users: [{ name, user: { tokenFile } }],
    contexts: [{ name, context: { cluster: name, user: name, namespace: pod.metadata.namespace } }],
    'current-context': name,
  };
  writeIfChanged(kubeconfig, JSON.stringify(content, null, 2), 0o600);
  return kubeconfig;
}
