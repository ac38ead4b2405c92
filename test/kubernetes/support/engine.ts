import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { kinds } from '../../../src/api/kinds.ts';
import type { KubeObject } from '../../../src/api/meta.ts';
import type { App } from '../../e2e/support/app.ts';
import { eventually } from '../../e2e/support/cluster.ts';

/** A program of this suite that ends with it, its output in a file of the cluster's folder. */
export class Program {
  readonly #child: ChildProcess;

  constructor(logDir: string, name: string, command: string, args: string[], env: NodeJS.ProcessEnv = {}) {
    this.#child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', command, ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const log = createWriteStream(join(logDir, `${name}.log`), { flags: 'a' });
    this.#child.stdout?.pipe(log);
    this.#child.stderr?.pipe(log);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGKILL');
    await once(this.#child, 'exit');
  }
}

const manifest = (apiVersion: string, kind: string, object: KubeObject): object => ({
  apiVersion,
  kind,
  ...object,
});

/** The application's manifests as a team commits them. */
export function manifests(app: App, version: string, env: Record<string, string> = {}): object[] {
  return [
    manifest('v1', 'Service', app.service()),
    manifest('apps/v1', 'Deployment', app.deploymentManifest(version, env)),
    manifest('weir.dev/v1alpha1', 'Rollout', app.rolloutManifest() as KubeObject),
  ];
}

/** resourceVersions and generations of what Git holds: equal at two moments means that nobody wrote. */
export async function versions(app: App): Promise<Record<string, string>> {
  const { client } = app.cluster;
  const found: Record<string, string> = {};
  for (const kind of [kinds.Deployment, kinds.Service, kinds.Rollout]) {
    const { metadata } = await client.get<KubeObject>(kind, app.namespace, 'web');
    found[kind.kind] = `${metadata.resourceVersion} generation ${metadata.generation ?? 0}`;
  }
  return found;
}

export async function generation(app: App): Promise<number> {
  const { metadata } = await app.cluster.client.get<KubeObject>(kinds.Deployment, app.namespace, 'web');
  return metadata.generation ?? 0;
}

/** The versions once nobody has written for two seconds: Weir's own status is written up to a second late. */
export async function atRest(app: App): Promise<Record<string, string>> {
  let last = '';
  let since = 0;
  return eventually('nobody writes', async () => {
    const now = await versions(app);
    const text = JSON.stringify(now);
    if (text !== last) {
      last = text;
      since = Date.now();
    }
    return Date.now() - since >= 2000 && now;
  });
}
