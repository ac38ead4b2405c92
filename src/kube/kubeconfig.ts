import { existsSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { homedir } from 'node:os';
import { delimiter, dirname, isAbsolute, join } from 'node:path';
import { AppError } from '../lib/errors.ts';
import { yamlProblem } from '../lib/yaml-problem.ts';

/** Where a cluster is, as a kubeconfig words it. */
export interface Cluster {
  server: string;
  'certificate-authority'?: string;
  'certificate-authority-data'?: string;
  'insecure-skip-tls-verify'?: boolean;
  'tls-server-name'?: string;
}

/** Who asks, as a kubeconfig words it. `exec` and `auth-provider` are programs and protocols of their own. */
export interface User {
  token?: string;
  tokenFile?: string;
  'client-certificate'?: string;
  'client-certificate-data'?: string;
  'client-key'?: string;
  'client-key-data'?: string;
  username?: string;
  password?: string;
  as?: string;
  exec?: object;
  'auth-provider'?: object;
}

interface Context {
  cluster: string;
  user: string;
  namespace?: string;
}

interface KubeConfigFile {
  'current-context'?: string;
  contexts?: { name: string; context?: Context }[];
  clusters?: { name: string; cluster: Cluster }[];
  users?: { name: string; user?: User }[];
}

/** What the current context names; the paths in it are absolute. */
export interface Current {
  cluster: Cluster;
  user: User;
  /** Where what names none is looked for; none: `default`. */
  namespace?: string;
}

/** Which cluster is meant, and as whom. */
export interface Chosen {
  /** A file; without, those of the environment. */
  kubeconfig?: string | undefined;
  /** By name; without, the current one. */
  context?: string | undefined;
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * The context of the file that is named, else of those in $KUBECONFIG, else of ~/.kube/config, else of the
 * pod's ServiceAccount; undefined where there is none of them.
 */
export async function currentContext(
  { kubeconfig, context }: Chosen,
  env: NodeJS.ProcessEnv = process.env,
  serviceAccount = SERVICE_ACCOUNT,
): Promise<Current | undefined> {
  if (kubeconfig) {
    if (!existsSync(kubeconfig)) throw new AppError('NotFound', `kubeconfig ${kubeconfig} does not exist`);
    return currentOf([await read(kubeconfig)], kubeconfig, context);
  }
  const listed = (env.KUBECONFIG ?? '').split(delimiter).filter((path) => path !== '');
  if (listed.length > 0) {
    // As kubectl does: files that are not there are passed over, and what the first file says stands.
    const files = await Promise.all(listed.filter((path) => existsSync(path)).map(read));
    if (files.length === 0)
      throw new AppError('NotFound', `$KUBECONFIG names ${listed.join(', ')}, which is not there`);
    return currentOf(files, listed.join(delimiter), context);
  }
  const home = join(env.HOME ?? homedir(), '.kube', 'config');
  if (existsSync(home)) return currentOf([await read(home)], home, context);
  if (context) throw new AppError('NotFound', `there is no kubeconfig to have a context "${context}"`);
  return inCluster(env, serviceAccount);
}

/** JSON is YAML that needs no YAML parser: the kubeconfigs of the local cluster are read without loading one. */
async function read(path: string): Promise<KubeConfigFile> {
  const text = await readFile(path, 'utf8');
  const json = text.trimStart().startsWith('{');
  let file: KubeConfigFile | undefined;
  try {
    file = json ? JSON.parse(text) : (await import('../lib/yaml.ts')).parse(text);
  } catch (thrown) {
    throw new AppError('Invalid', `${path} is not YAML: ${yamlProblem(thrown)}`, { cause: thrown });
  }
  const folder = dirname(path);
  const inFolder = <T extends object>(object: T, ...fields: (keyof T)[]): T => {
    const absolute = fields
      .filter((field) => typeof object[field] === 'string' && !isAbsolute(object[field]))
      .map((field) => [field, join(folder, object[field] as string)]);
    return { ...object, ...Object.fromEntries(absolute) };
  };
  return {
    ...file,
    contexts: entries(path, 'contexts', file?.contexts),
    clusters: entries(path, 'clusters', file?.clusters).map(({ name, cluster }) => ({
      name,
      cluster: inFolder(cluster ?? {}, 'certificate-authority'),
    })),
    users: entries(path, 'users', file?.users).map(({ name, user }) => ({
      name,
      user: inFolder(user ?? {}, 'tokenFile', 'client-certificate', 'client-key'),
    })),
  };
}

function entries<T>(path: string, field: string, value: T[] | null | undefined): T[] {
  if (Array.isArray(value ?? [])) return value ?? [];
  throw new AppError('Invalid', `${path} is no kubeconfig: its ${field} must be a list`);
}

function currentOf(files: KubeConfigFile[], where: string, chosen: string | undefined): Current | undefined {
  const named = chosen ?? files.find((file) => file['current-context'])?.['current-context'];
  const contexts = files.flatMap((file) => file.contexts ?? []);
  const context = contexts.find(({ name }) => name === named)?.context;
  if (!context) {
    if (!named) return undefined;
    const others = contexts.length > 0 ? `: it has ${contexts.map(({ name }) => name).join(', ')}` : '';
    throw new AppError('Invalid', `${where} has no context "${named}"${others}`);
  }
  const cluster = files
    .flatMap(({ clusters }) => clusters ?? [])
    .find(({ name }) => name === context.cluster);
  if (!cluster?.cluster.server) {
    throw new AppError('Invalid', `${where} names no server for the cluster "${context.cluster}"`);
  }
  const { server } = cluster.cluster;
  if (!/^https?:$/.test(URL.parse(server)?.protocol ?? ''))
    throw new AppError(
      'Invalid',
      `${where} names "${server}" as the server of the cluster "${context.cluster}": write a URL such as https://127.0.0.1:6443`,
    );
  const user = files.flatMap(({ users }) => users ?? []).find(({ name }) => name === context.user);
  return {
    cluster: { ...cluster.cluster, server: server.replace(/\/$/, '') },
    user: user?.user ?? {},
    ...(context.namespace ? { namespace: context.namespace } : {}),
  };
}

function inCluster(env: NodeJS.ProcessEnv, serviceAccount: string): Current | undefined {
  const tokenFile = join(serviceAccount, 'token');
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = env;
  if (!host || !existsSync(tokenFile)) return undefined;
  const namespaceFile = join(serviceAccount, 'namespace');
  return {
    cluster: {
      server: `https://${isIPv6(host) ? `[${host}]` : host}:${port}`,
      'certificate-authority': join(serviceAccount, 'ca.crt'),
    },
    user: { tokenFile },
    ...(existsSync(namespaceFile) ? { namespace: readFileSync(namespaceFile, 'utf8').trim() } : {}),
  };
}
