import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { silentLogger } from '../../../src/lib/log.ts';
import { writeIfChanged } from '../../../src/local/node/index.ts';
import { SupervisedChild } from '../../../src/local/supervisor/child.ts';
import { tool } from './tools.ts';

export interface ControlPlaneOptions {
  dir: string;
  /** First two octets of the cluster's addresses. */
  prefix: string;
  /** More flags of the API server, such as `--runtime-config=…`. */
  apiserverFlags?: string[];
  /** Without it nothing reconciles Deployments: benches that patch status themselves still want it. */
  controllerManagerFlags?: string[];
}

export interface ControlPlane {
  server: string;
  /** Of a member of system:masters. */
  kubeconfig: string;
  children: Record<'etcd' | 'kube-apiserver' | 'kube-controller-manager', SupervisedChild>;
  stop(): Promise<void>;
}

const USERS = {
  admin: ['admin', 'system:masters'],
  'controller-manager': ['system:kube-controller-manager', ''],
  // The node component also schedules, which no kubelet may.
  node: ['weir-node', 'system:masters'],
} as const;
/** A real kubelet's Leases and heartbeats are not what is tested here: a node that does not send any is not evicted. */
const CONTROLLERS = [
  '*',
  '-node-lifecycle-controller',
  '-taint-eviction-controller',
  '-node-ipam-controller',
  '-node-route-controller',
  '-service-lb-controller',
  '-cloud-node-lifecycle-controller',
];

/** etcd, kube-apiserver and kube-controller-manager as a cluster has them: TLS, RBAC, bound tokens, default admission. */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { dir, prefix, apiserverFlags = [], controllerManagerFlags = [] } = options;
  const host = `${prefix}.0.1`;
  const server = `https://${host}:6443`;
  const pki = join(dir, 'pki');
  const logs = join(dir, 'logs');
  for (const folder of [pki, logs]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  const log = silentLogger;
  const tokens = Object.fromEntries(
    Object.keys(USERS).map((user) => [user, randomBytes(16).toString('hex')]),
  );
  writeFileSync(
    join(pki, 'tokens.csv'),
    Object.entries(USERS)
      .map(([user, [name, group]]) => `${tokens[user]},${name},${name},"${group}"\n`)
      .join(''),
  );
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  });
  writeFileSync(join(pki, 'sa.key'), privateKey, { mode: 0o600 });
  writeFileSync(join(pki, 'sa.pub'), publicKey);
  const child = async (name: 'etcd' | 'kube-apiserver' | 'kube-controller-manager', args: string[]) =>
    new SupervisedChild({
      name,
      // Ends with this process, however that ends.
      command: 'setpriv',
      argv: ['--pdeathsig', 'KILL', '--', await tool(name), ...args],
      env: { ...process.env, WEIR_LOCAL_DIR: dir },
      logFile: join(logs, `${name}.log`),
      log,
    });
  const etcdUrl = `http://${host}:2379`;
  const etcd = await child('etcd', [
    `--data-dir=${join(dir, 'etcd')}`,
    `--listen-client-urls=${etcdUrl}`,
    `--advertise-client-urls=${etcdUrl}`,
    `--listen-peer-urls=http://${host}:2380`,
    `--initial-advertise-peer-urls=http://${host}:2380`,
    `--initial-cluster=default=http://${host}:2380`,
    '--log-level=warn',
    // Tests do not outlive their machine.
    '--unsafe-no-fsync',
  ]);
  const apiserver = await child('kube-apiserver', [
    `--etcd-servers=${etcdUrl}`,
    `--bind-address=${host}`,
    `--advertise-address=${host}`,
    '--secure-port=6443',
    `--cert-dir=${pki}`,
    `--token-auth-file=${join(pki, 'tokens.csv')}`,
    '--authorization-mode=Node,RBAC',
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${join(pki, 'sa.pub')}`,
    `--service-account-signing-key-file=${join(pki, 'sa.key')}`,
    `--service-cluster-ip-range=${prefix}.240.0/20`,
    '--allow-privileged=true',
    ...apiserverFlags,
  ]);
  etcd.start();
  apiserver.start();
  // The API server makes a certificate of its own on its first start.
  const certificate = join(pki, 'apiserver.crt');
  await until('the API server writes its certificate', 30_000, () => existsSync(certificate));
  const kubeconfigFor = (user: keyof typeof USERS): string => {
    const file = join(dir, `kubeconfig.${user}`);
    const ca = readFileSync(certificate).toString('base64');
    writeIfChanged(
      file,
      stringify({
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'weir',
        contexts: [{ name: 'weir', context: { cluster: 'weir', user } }],
        clusters: [{ name: 'weir', cluster: { server, 'certificate-authority-data': ca } }],
        users: [{ name: user, user: { token: tokens[user] } }],
      }),
      0o600,
    );
    return file;
  };
  const manager = await child('kube-controller-manager', [
    `--kubeconfig=${kubeconfigFor('controller-manager')}`,
    `--bind-address=${host}`,
    '--leader-elect=false',
    '--use-service-account-credentials=true',
    `--service-account-private-key-file=${join(pki, 'sa.key')}`,
    `--root-ca-file=${certificate}`,
    `--controllers=${CONTROLLERS.join(',')}`,
    // The default of 20 requests a second is for machines with less to do at once than these tests.
    '--kube-api-qps=300',
    '--kube-api-burst=600',
    ...controllerManagerFlags,
  ]);
  kubeconfigFor('node');
  manager.start();
  const children = { etcd, 'kube-apiserver': apiserver, 'kube-controller-manager': manager };
  return {
    server,
    kubeconfig: kubeconfigFor('admin'),
    children,
    stop: async () => {
      await manager.stop(2000);
      await apiserver.stop(2000);
      await etcd.stop(2000);
    },
  };
}

export async function until(
  what: string,
  timeoutMs: number,
  probe: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await probe())) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
