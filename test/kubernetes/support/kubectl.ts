import { spawn } from 'node:child_process';
import { stringify } from 'yaml';
import type { KubeObject } from '../../../src/api/meta.ts';
import type { App } from '../../e2e/support/app.ts';
import type { TestCluster } from '../../e2e/support/cluster.ts';

export type Kubectl = (args: string[], input?: object) => Promise<string>;

/** The kubectl on the PATH, as a person uses it: its output, or an error with what it said. `input` goes to `-f -`. */
export function kubectlFor({ kubeconfig }: TestCluster, namespace: string): Kubectl {
  return (args, input) =>
    new Promise((resolve, reject) => {
      const env = { ...process.env, KUBECONFIG: kubeconfig };
      const child = spawn('kubectl', ['-n', namespace, ...args], { env, stdio: 'pipe' });
      let out = '';
      let error = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        out += text;
      });
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        error += text;
      });
      child.once('error', reject).once('close', (code) => {
        if (code === 0) resolve(out);
        else reject(new Error(`kubectl ${args.join(' ')} ended with ${code}: ${error}`));
      });
      child.stdin.end(input ? stringify(input) : '');
    });
}

/** `kubectl auth can-i` as somebody else. */
export const may = (kubectl: Kubectl, as: string, ...what: string[]): Promise<boolean> =>
  kubectl(['auth', 'can-i', ...what, `--as=${as}`]).then(
    () => true,
    (error: Error) => {
      // Its way to say no.
      if (error.message.includes('ended with 1')) return false;
      throw error;
    },
  );

/** The Deployment as a file in somebody's repository has it. */
export const manifestOf = (app: App, version: string, extra: object = {}): object => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  ...app.deploymentManifest(version, {}, extra),
});

/** ReplicaSets that belong to the Deployment's own controller and run something. */
export async function nativeSets(app: App): Promise<KubeObject[]> {
  return (await app.replicaSets()).filter(
    ({ metadata, spec }) =>
      metadata.ownerReferences?.some(({ controller }) => controller) &&
      (spec as { replicas: number }).replicas > 0,
  );
}

/** A judge that needs no traffic: whether a rollout goes on is not what these scenarios are about. */
export const ALWAYS_GOOD = {
  interval: '500ms',
  minRequests: 0,
  metrics: [{ name: 'constant', prometheus: { query: 'vector(1)' }, threshold: { min: 1 } }],
};

/** Stays at 10 % until somebody decides. */
export const HOLD = { canary: { steps: [{ weight: 10 }, { pause: {} }], dwell: '200ms' } };
/** Half of the traffic for a moment, then all of it. */
export const QUICK = { canary: { weights: [50], dwell: '200ms' } };
