import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { kinds } from '../../src/api/kinds.ts';
import type { KubeObject } from '../../src/api/meta.ts';
import type { TrafficPolicy } from '../../src/api/traffic-policy.ts';
import { meshChecks } from '../../src/cli/check/installation.ts';
import { runChecks } from '../../src/cli/check/run.ts';
import { whyNoKubectl } from '../../src/local/apiserver/fixtures/harness.ts';
import { App } from './support/app.ts';
import { eventually, sharedCluster, type TestCluster } from './support/cluster.ts';
import { onKubernetes } from './support/start.ts';

let cluster: TestCluster;
let app: App;
/** The listener for Service web at the proxy of a pod that calls it. */
let caller: string;

const addressOf = (pod: KubeObject) => (pod.status as { podIP: string }).podIP;

beforeAll(async () => {
  cluster = await sharedCluster();
  app = await App.create(cluster, 'policy', { withRollout: false, replicas: 2, rps: 1 });
  const [pod] = await app.pods({ app: 'load' });
  caller = `http://${addressOf(pod!)}:14001/`;
});
afterAll(() => app?.remove());

const apply = (name: string, spec: object) =>
  cluster.client.apply<KubeObject>(
    kinds.TrafficPolicy,
    { metadata: { name, namespace: app.namespace }, spec: { targetRefs: [{ name: 'web' }], ...spec } },
    { fieldManager: 'test', force: true },
  );
const remove = (name: string) => cluster.client.delete(kinds.TrafficPolicy, app.namespace, name);

async function ask(headers: Record<string, string> = {}) {
  const begun = performance.now();
  const response = await fetch(caller, { headers });
  await response.text();
  return {
    status: response.status,
    cause: response.headers.get('weir-proxy-error'),
    milliseconds: performance.now() - begun,
  };
}

/** At once, so that more than the one pod that answers soonest is asked. */
const statuses = async (times: number) =>
  (await Promise.all(Array.from({ length: times }, () => ask()))).map((each) => each.status);

const status = async (name: string) =>
  (await cluster.client.get<TrafficPolicy & KubeObject>(kinds.TrafficPolicy, app.namespace, name)).status;

const told = (name: string, type: string, value: 'True' | 'False') =>
  eventually(
    `${name} is ${type}: ${value}`,
    async () => {
      const conditions = (await status(name))?.conditions;
      return conditions?.find((each) => each.type === type && each.status === value);
    },
    { describe: async () => JSON.stringify(await status(name)) },
  );

describe('a TrafficPolicy', () => {
  test('makes proxies that call the Service abort, then delay, and no longer when it is gone', async () => {
    expect(await ask()).toMatchObject({ status: 200 });
    await apply('chaos', { fault: { abort: { percent: 100 } } });
    await eventually('an abort', async () => (await ask()).status === 503);
    expect(await ask()).toMatchObject({ status: 503, cause: 'fault' });
    expect(await told('chaos', 'Accepted', 'True')).toMatchObject({ message: 'rules Service web' });

    // Applied by its field manager, the abort goes as the delay comes.
    await apply('chaos', { fault: { delay: { percent: 100, for: '250ms' } } });
    await eventually('a delay', async () => {
      const { status, milliseconds } = await ask();
      return status === 200 && milliseconds >= 250;
    });
    // Tried out by one person: a change of it reaches the proxies as any other.
    const headers = [{ name: 'X-Fault-Test', value: 'alice' }];
    await apply('chaos', { fault: { headers, abort: { percent: 100, status: 418 } } });
    const alice = { 'x-fault-test': 'alice' };
    await eventually('an abort for alice', async () => (await ask(alice)).status === 418);
    expect([(await ask()).status, (await ask({ 'x-fault-test': 'bob' })).status]).toEqual([200, 200]);
    await remove('chaos');
    await eventually('no abort for alice', async () => (await ask(alice)).status === 200);
    await eventually('no delay', async () => (await ask()).milliseconds < 200);
  });

  test('hides a pod that fails by retries', async () => {
    const [pod] = await app.pods();
    const fault = (errors: number) =>
      fetch(`http://${addressOf(pod!)}:8080/fault?errors=${errors}`, { method: 'POST' });
    await fault(1);
    await eventually('a failure', async () => (await statuses(8)).includes(500));
    const budget = { percent: 100, minPerSecond: 100 };
    await apply('retries', { retries: { max: 1, retryOn: ['connect', '5xx'], budget } });
    await eventually('no failure', async () => (await statuses(20)).every((each) => each === 200));
    await remove('retries');
    await eventually('a failure again', async () => (await statuses(8)).includes(500));
    await fault(0);
  });

  test('that is wrong is refused with the field; a target that is missing and a conflict are told', async () => {
    await expect(apply('bad', { fault: { abort: { percent: 101 } } })).rejects.toThrow(
      /spec\.fault\.abort\.percent.*less than or equal to 100/s,
    );
    await expect(apply('bad', { timeouts: { request: 'soon' } })).rejects.toThrow(/spec\.timeouts\.request/);
    await apply('base', { maxInFlight: 50 });
    await told('base', 'Accepted', 'True');
    await apply('late', { targetRefs: [{ name: 'web', port: 81 }], maxInFlight: 60 });
    expect(await told('late', 'Accepted', 'False')).toMatchObject({
      reason: 'TargetNotFound',
      message: 'Service policy/web has no port 81: it has http (80)',
    });
    // Timestamps have whole seconds, and then names decide.
    await apply('late', { targetRefs: [{ name: 'web' }], maxInFlight: 60 });
    expect(await told('late', 'Conflicted', 'True')).toMatchObject({
      message: expect.stringContaining('maxInFlight (TrafficPolicy base)'),
    });
    expect(await told('late', 'Accepted', 'False')).toMatchObject({ reason: 'Conflicted' });
    const signal = AbortSignal.timeout(10_000);
    const checks = await runChecks([meshChecks], { client: cluster.client, namespace: 'weir', signal });
    expect(checks).toContainEqual(
      expect.objectContaining({
        check: 'TrafficPolicies',
        status: 'warning',
        message: expect.stringMatching(/^policy\/late: older policies rule Service policy\/web: maxInFlight/),
      }),
    );
  });

  // Rules in CEL, which the local API server does not evaluate: there the status says it.
  test.each([
    [{}, /give at least one of timeouts, retries/],
    [
      { targetRefs: [{ name: 'web' }, { name: 'web' }], maxInFlight: 1 },
      /targetRefs.*the same target is given twice/,
    ],
    [
      { targetRefs: [{ name: 'web', port: 80, sectionName: 'http' }], maxInFlight: 1 },
      /targetRefs\[0\].*not both/,
    ],
    [{ breaker: { consecutive: 0 } }, /breaker.*give consecutive or successRate/],
    [{ breaker: { window: '0s' } }, /breaker\.window.*must be more than 0/],
    [
      { timeouts: { request: '1s', backendRequest: '2s' } },
      /timeouts.*backendRequest must be at most request|timeouts\.backendRequest.*must be at most request/,
    ],
    [{ fault: { delay: { percent: 1, for: '61m' } } }, /fault\.delay\.for.*must be at most 1h/],
  ])('that contradicts itself is told: %j', async (spec, problem) => {
    if (onKubernetes) return expect(apply('wrong', spec)).rejects.toThrow(problem);
    await apply('wrong', spec);
    expect(await told('wrong', 'Accepted', 'False')).toMatchObject({
      reason: 'Invalid',
      message: expect.stringMatching(problem),
    });
    return remove('wrong');
  });

  const reason = whyNoKubectl();
  (reason ? test.skip : test)('shows in kubectl', () => {
    const kubectl = (...args: string[]) => {
      const env = { ...process.env, KUBECONFIG: cluster.kubeconfig };
      const { status, stdout, stderr } = spawnSync('kubectl', ['-n', app.namespace, ...args], {
        env,
        encoding: 'utf8',
      });
      if (status !== 0) throw new Error(stderr);
      return stdout;
    };
    const lines = kubectl('get', 'tp').trim().split('\n');
    expect(lines[0]).toMatch(/^NAME +TARGET +ACCEPTED +REASON +CONFLICTED +AGE +MESSAGE/);
    expect(lines[1]).toMatch(/^base +web +True +Accepted +\S+ +rules Service web$/);
    expect(lines[2]).toMatch(
      /^late +web +False +Conflicted +True +\S+ +older policies rule Service policy\/web: maxInFlight/,
    );
    expect(kubectl('describe', 'tp', 'late')).toMatch(/Controller Name: +weir\.dev\/mesh/);
  });
});
