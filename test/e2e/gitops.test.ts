import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { stringify } from 'yaml';
import { kinds } from '../../src/api/kinds.ts';
import type { KubeObject } from '../../src/api/meta.ts';
import { App } from './support/app.ts';
import { eventually, sharedCluster, type TestCluster } from './support/cluster.ts';

let cluster: TestCluster;
let app: App;
let repo: string;
let agent: ChildProcess | undefined;

const git = (...args: string[]) =>
  execFileSync('git', ['-C', repo, '-c', 'user.name=dev', '-c', 'user.email=dev@example.com', ...args], {
    stdio: 'pipe',
  });

function commit(message: string, files: Record<string, object[]>): void {
  for (const [file, objects] of Object.entries(files)) {
    writeFileSync(join(repo, file), objects.map((object) => stringify(object)).join('---\n'));
  }
  git('add', '-A');
  git('commit', '-qm', message);
}

const manifest = (apiVersion: string, kind: string, object: KubeObject) => ({ apiVersion, kind, ...object });
const deployment = (version: string, env?: Record<string, string>) =>
  manifest('apps/v1', 'Deployment', app.deploymentManifest(version, env));

function startAgent(): void {
  agent = spawn(
    process.execPath,
    ['dist/main.js', 'gitops', '--repo', repo, '--name', app.namespace, '--kubeconfig', cluster.kubeconfig],
    { stdio: 'ignore' },
  );
}

async function killAgent(): Promise<void> {
  if (!agent || agent.exitCode !== null || agent.signalCode !== null) return;
  agent.kill('SIGKILL');
  await once(agent, 'exit');
}

beforeAll(async () => {
  cluster = await sharedCluster();
});
beforeEach(() => {
  repo = mkdtempSync(join(tmpdir(), 'weir-repo-'));
  git('init', '-q', '-b', 'main');
});
afterEach(async () => {
  await killAgent();
  await app?.remove();
  rmSync(repo, { recursive: true, force: true });
});

describe('a Git commit', () => {
  test('goes live, is stopped when bad, and survives a SIGKILL of the agent; a bad manifest stops nothing', async () => {
    app = await App.create(cluster, 'gitops', { withRollout: false });
    const rollout = manifest('weir.dev/v1alpha1', 'Rollout', app.rolloutManifest() as KubeObject);
    commit('v1', {
      'web.yaml': [manifest('v1', 'Service', app.service()), deployment('v1'), rollout],
      'extra.yaml': [
        {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: { name: 'extra', namespace: app.namespace },
          data: { a: '1' },
        },
      ],
    });
    startAgent();
    await app.healthy();

    commit('v2, and a mistake in another file', {
      'web.yaml': [manifest('v1', 'Service', app.service()), deployment('v2'), rollout],
      'broken.yaml': [
        { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'Not A Name', namespace: app.namespace } },
      ],
    });
    await app.phase('Progressing');
    await killAgent();
    startAgent();
    await app.promoted('v2');

    rmSync(join(repo, 'extra.yaml'));
    rmSync(join(repo, 'broken.yaml'));
    commit('v3 fails', {
      'web.yaml': [manifest('v1', 'Service', app.service()), deployment('v3', { ERROR_RATE: '1' }), rollout],
    });
    await app.phase('Failed');
    await eventually(
      'what the commit removed is gone',
      async () => !(await cluster.client.find(kinds.ConfigMap, app.namespace, 'extra')),
    );

    git('revert', '--no-edit', 'HEAD');
    const after = await app.healthy();
    expect(after.status?.stable?.images).toEqual(['weir-sample:v2']);
    expect((await app.podsOf('v2')).length).toBe(2);
  });
});
