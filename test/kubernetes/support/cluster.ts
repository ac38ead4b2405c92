import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { kinds } from '../../../src/api/kinds.ts';
import { installWeir } from '../../../src/cli/install/apply.ts';
import { admissionOf } from '../../../src/cli/install/discover.ts';
import { connect } from '../../../src/kube/index.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { findEntries } from '../../../src/local/node/index.ts';
import { SupervisedChild } from '../../../src/local/supervisor/child.ts';
import { isReady } from '../../../src/local/supervisor/readiness.ts';
import type { RunningCluster } from '../../e2e/support/start.ts';
import { type ControlPlane, startControlPlane, until } from './control-plane.ts';

export interface KubernetesOptions {
  dir?: string;
  prefix?: string;
  /** `local` (default): probes and scrapes every second. */
  profile?: 'cluster' | 'local';
  /** How the gate is enforced; default: as the cluster allows. */
  admission?: 'policies' | 'webhooks';
  /** Weir's controller serves these only, which are made first; default: all of them. */
  namespaces?: string[];
  /** false: a bare cluster. */
  weir?: boolean;
  /** false: no node component; pods stay Pending unless somebody plays kubelet. */
  node?: boolean;
  /** Another way to the API server for the node component and every pod, such as a proxy that injects faults. */
  nodeVia?: (plane: ControlPlane) => Promise<{ server: string; ca: string }>;
  apiserverFlags?: string[];
  controllerManagerFlags?: string[];
}

export interface KubernetesCluster extends RunningCluster {
  plane: ControlPlane;
  node: SupervisedChild;
}

/** A real control plane, Weir's node component running its pods as processes, and Weir installed by its own installer. */
export async function startKubernetes(options: KubernetesOptions = {}): Promise<KubernetesCluster> {
  const dir = options.dir ?? mkdtempSync(join(tmpdir(), 'weir-kubernetes-'));
  mkdirSync(join(dir, 'logs'), { recursive: true });
  const { prefix = '198.18', weir = true } = options;
  const plane = await startControlPlane({ ...options, dir, prefix });
  if (options.nodeVia) rewriteAccess(join(dir, 'kubeconfig.node'), await options.nodeVia(plane));
  const node = new SupervisedChild({
    name: 'node',
    // Finds its kubeconfig in the cluster's directory.
    argv: [findEntries().main, 'local', 'node', '--dir', dir, '--prefix', prefix],
    env: { ...process.env, WEIR_LOCAL_DIR: dir },
    logFile: join(dir, 'logs', 'node.log'),
    log: silentLogger,
  });
  const stop = async () => {
    await node.stop(6000);
    await plane.stop();
    if (!process.env.WEIR_KEEP) rmSync(dir, { recursive: true, force: true });
  };
  try {
    if (options.node !== false) {
      node.start();
      await until('the API server and its node become ready', 60_000, () => isReady(plane.kubeconfig));
    }
    const client = await connect({ kubeconfig: plane.kubeconfig });
    await until('the API server answers', 60_000, () =>
      client.request('GET', '/readyz').then(
        () => true,
        () => false,
      ),
    );
    if (weir) {
      const admission = options.admission ?? (await admissionOf(client)).admission;
      // The node component knows this image as the code of this checkout, whatever the profile.
      const { profile = 'local', namespaces = [] } = options;
      for (const name of namespaces) await client.create(kinds.Namespace, { metadata: { name } });
      const interception = 'explicit';
      // Two clusters start beside each other on two cores; and what is missing is told before a hook's own time is over.
      const timeoutMs = 120_000;
      await installWeir(client, {
        profile,
        image: 'weir',
        admission,
        interception,
        namespaces,
        timeoutMs,
      });
    }
    return { kubeconfig: plane.kubeconfig, dir, client, plane, node, stop };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}

function rewriteAccess(file: string, { server, ca }: { server: string; ca: string }): void {
  const config = parse(readFileSync(file, 'utf8')) as { clusters: { cluster: object }[] };
  const data = Buffer.from(ca).toString('base64');
  config.clusters[0]!.cluster = { server, 'certificate-authority-data': data };
  writeFileSync(file, stringify(config), { mode: 0o600 });
}
