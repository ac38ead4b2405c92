import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Rollout } from '../../src/api/rollout.ts';
import { App } from '../e2e/support/app.ts';
import { eventually, sharedCluster, type TestCluster } from '../e2e/support/cluster.ts';
import { atRest, generation, manifests, Program, versions } from './support/engine.ts';
import { Repository } from './support/git.ts';
import { helmChart, kustomizeOverlay, RenderedRepository, stablePodComesBack } from './support/sources.ts';
import { tool } from './support/tools.ts';

const PORT = 9001;

let cluster: TestCluster;
let app: App;
let repository: Repository;
let rendered: RenderedRepository | undefined;
let agent: Program | undefined;

beforeAll(async () => {
  cluster = await sharedCluster();
});
beforeEach(() => {
  repository = new Repository();
});
afterEach(async () => {
  await agent?.stop();
  agent = undefined;
  await app?.remove();
  repository.remove();
  rendered?.remove();
  rendered = undefined;
});

async function start({ dir } = repository): Promise<void> {
  const args = ['--kubeconfig', cluster.kubeconfig, '--default-namespace', app.namespace];
  agent = new Program(join(cluster.dir, 'logs'), 'gitops-engine', await tool('gitops-engine'), [
    dir,
    ...args,
    '--resync-seconds',
    '3600',
    '--port',
    String(PORT),
  ]);
}

/** What a webhook of the Git server does. */
const sync = () =>
  eventually('the engine takes a sync', () =>
    fetch(`http://127.0.0.1:${PORT}/api/v1/sync`).then(({ ok }) => ok),
  );

/** Argo CD's own interpreter on the health check that we ship. */
async function health(rollout: Rollout): Promise<{ status: string; message: string }> {
  const dir = mkdtempSync(join(tmpdir(), 'weir-lua-'));
  try {
    const script = join(dir, 'health.lua');
    const check = readFileSync('examples/argocd/health.lua', 'utf8');
    writeFileSync(
      script,
      `obj = ${lua(rollout)}\nlocal function check()\n${check}\nend\nlocal hs = check()\nprint(hs.status)\nprint(hs.message or "")\n`,
    );
    const [status = '', message = ''] = execFileSync(await tool('glua'), [script], {
      encoding: 'utf8',
    }).split('\n');
    return { status, message };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** A JSON value as a Lua table. */
function lua(value: unknown): string {
  if (value === null || value === undefined) return 'nil';
  if (Array.isArray(value)) return `{${value.map(lua).join(',')}}`;
  if (typeof value === 'object') {
    return `{${Object.entries(value)
      .map(([key, inner]) => `[${JSON.stringify(key)}]=${lua(inner)}`)
      .join(',')}}`;
  }
  // Lua's strings know \ddd and not \uXXXX.
  return typeof value === 'string'
    ? `"${[...Buffer.from(value)].map((byte) => `\\${String(byte).padStart(3, '0')}`).join('')}"`
    : String(value);
}

describe("Argo CD's engine", () => {
  test('drives good, bad, reverted and fast-forwarded rollouts; nobody fights over a field', async () => {
    app = await App.create(cluster, 'argo', { withRollout: false });
    repository.commit('v1', { 'web.yaml': manifests(app, 'v1') });
    await start();
    await app.healthy();
    expect(await health(await app.rollout())).toMatchObject({ status: 'Healthy' });
    const first = await generation(app);

    repository.commit('v2', { 'web.yaml': manifests(app, 'v2') });
    await sync();
    const progressing = await app.phase('Progressing');
    expect(await health(progressing)).toMatchObject({ status: 'Progressing' });
    const awaiting = structuredClone(progressing);
    const at = awaiting.status!.conditions.find(({ type }) => type === 'Reconciling')!;
    at.reason = 'AwaitingApproval';
    expect(await health(awaiting)).toMatchObject({ status: 'Suspended' });
    // Synced again in the middle of it: still held, nothing put back.
    await sync();
    await sync();
    await app.promoted('v2');
    // The template with its pause in one write, and the unpause: nothing else touched the spec.
    expect(await generation(app)).toBe(first + 2);

    repository.commit('v3 fails', { 'web.yaml': manifests(app, 'v3', { ERROR_RATE: '1' }) });
    await sync();
    const failed = await app.phase('Failed');
    const degraded = await health(failed);
    expect(degraded.status).toBe('Degraded');
    expect(degraded.message).toContain('weir-sample:v3 was rolled back');

    repository.revert();
    await sync();
    const reverted = await app.healthy();
    expect(reverted.status?.stable?.images).toEqual(['weir-sample:v2']);
    await eventually('unpaused', async () => !(await app.deployment()).spec.paused);

    // Two commits before one sync: only the newest is ever seen.
    repository.commit('v4', { 'web.yaml': manifests(app, 'v4') });
    repository.commit('v5', { 'web.yaml': manifests(app, 'v5') });
    await sync();
    await app.promoted('v5');
    expect(app.phases.filter((phase) => phase === 'Promoting').length).toBe(2);

    const rest = await atRest(app);
    for (let count = 0; count < 3; count += 1) await sync();
    // A sync that would write has done so by the time that the next one is taken.
    expect(await versions(app)).toEqual(rest);
  });

  test.each([
    ['a Kustomize overlay', kustomizeOverlay, 'argo-kustomize'],
    ['a Helm chart', helmChart, 'argo-helm'],
  ])('the same from %s, rendered as its repo-server does', async (_, source, namespace) => {
    app = await App.create(cluster, namespace, { withRollout: false });
    rendered = new RenderedRepository(app, source);
    await rendered.commit('v1', 'v1');
    await start(rendered.rendered);
    await app.healthy();
    await eventually('three pods', async () => (await app.podsOf('v1')).length === 3);

    await rendered.commit('v2', 'v2');
    await sync();
    await app.promoted('v2');
    const promoted = await app.replicaSets();

    await rendered.commit('a bad setting', 'v2', '1');
    await sync();
    await app.until('the canary runs', ({ status }) => (status?.traffic?.canary ?? 0) > 0);
    await stablePodComesBack(app, promoted);
    await app.phase('Failed');
    expect(await health(await app.rollout())).toMatchObject({ status: 'Degraded' });

    await rendered.revert();
    await sync();
    const reverted = await app.healthy();
    expect(reverted.status?.stable?.images).toEqual(['weir-sample:v2']);
    await eventually('unpaused', async () => !(await app.deployment()).spec.paused);
    const rest = await atRest(app);
    for (let count = 0; count < 3; count += 1) await sync();
    expect(await versions(app)).toEqual(rest);
  });
});
