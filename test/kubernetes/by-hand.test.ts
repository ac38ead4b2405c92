import { afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { kinds } from '../../src/api/kinds.ts';
import { App } from '../e2e/support/app.ts';
import { eventually, sharedCluster, type TestCluster } from '../e2e/support/cluster.ts';
import { isReady } from '../e2e/support/pods.ts';
import { ALWAYS_GOOD, HOLD, type Kubectl, kubectlFor, nativeSets } from './support/kubectl.ts';

let cluster: TestCluster;
let app: App;
let kubectl: Kubectl;

beforeAll(async () => {
  cluster = await sharedCluster();
});
afterEach(() => app?.remove());

/** Scenarios of one person with kubectl beside a rollout that stands at 10 %. */
describe('by hand, mid-rollout', () => {
  beforeEach(async () => {
    const namespace = `by-hand-${expect.getState().currentTestName?.replaceAll(/\W+/g, '-').slice(-30)}`;
    app = await App.create(cluster, namespace.replace(/-$/, ''), { strategy: HOLD, analysis: ALWAYS_GOOD });
    kubectl = kubectlFor(cluster, app.namespace);
    await app.deploy('v2');
    await app.until('10 %', ({ status }) => status?.traffic?.canary === 10);
  });

  /** Nothing of the held template runs but Weir's canary, stable is whole, and the rollout can still be finished. */
  const undisturbed = async () => {
    expect((await app.deployment()).spec.paused).toBe(true);
    expect(await nativeSets(app)).toHaveLength(1);
    expect((await app.podsOf('v1')).length).toBe(2);
    // The status may be a second behind.
    await app.until(
      'Progressing at 10 %',
      ({ status }) => status?.phase === 'Progressing' && status.traffic?.canary === 10,
    );
    await app.applyRollout({ approve: 'v2' });
    await app.promoted('v2');
    expect((await app.load()).failed).toBe(0);
  };

  test('rollout pause and rollout resume change nothing', async () => {
    await expect(kubectl(['rollout', 'pause', 'deployment/web'])).rejects.toThrow('already paused');
    await kubectl(['rollout', 'resume', 'deployment/web']);
    await undisturbed();
  });

  test('rollout undo and rollout restart are refused by kubectl; what it advises opens nothing', async () => {
    await app.applyRollout({ approve: 'v2' });
    await app.promoted('v2');
    const stable = (await app.podsOf('v2')).map(({ metadata }) => metadata.uid).sort();
    await app.applyRollout({ approve: '' });
    await app.deploy('v3');
    await app.until('10 % of v3', ({ status }) => status?.traffic?.canary === 10);
    const paused = /paused/;
    await expect(kubectl(['rollout', 'undo', 'deployment/web'])).rejects.toThrow(paused);
    await expect(kubectl(['rollout', 'restart', 'deployment/web'])).rejects.toThrow(paused);
    // kubectl says: resume it first. The gate does not let go of what is held.
    await kubectl(['rollout', 'resume', 'deployment/web']);
    await expect(kubectl(['rollout', 'undo', 'deployment/web'])).rejects.toThrow(paused);
    await kubectl(['set', 'image', 'deployment/web', 'app=weir-sample:v2']);
    await app.healthy();
    await eventually('unpaused', async () => !(await app.deployment()).spec.paused);
    await eventually('the canary is gone', async () => (await app.podsOf('v3')).length === 0);
    expect((await app.podsOf('v2')).map(({ metadata }) => metadata.uid).sort()).toEqual(stable);
    expect((await app.load()).failed).toBe(0);
  });

  test('scale up, then promote: everybody runs the new version at the new size', async () => {
    await kubectl(['scale', 'deployment/web', '--replicas=4']);
    await eventually('four stable pods', async () => (await app.podsOf('v1')).length === 4);
    await app.applyRollout({ approve: 'v2' });
    await app.promoted('v2');
    await eventually('four new pods', async () => (await app.podsOf('v2')).length === 4);
    expect(await app.podsOf('v1')).toEqual([]);
    expect((await app.load()).failed).toBe(0);
  });

  test('scale to 0 ends the run; scaled up again, the new template runs', async () => {
    await kubectl(['scale', 'deployment/web', '--replicas=0']);
    await eventually(
      'no pod is left',
      async () => (await app.podsOf('v1')).length + (await app.podsOf('v2')).length === 0,
      { describe: () => app.describe() },
    );
    await app.promoted('v2');
    await kubectl(['scale', 'deployment/web', '--replicas=2']);
    await eventually('two new pods', async () => (await app.podsOf('v2')).length === 2);
    expect(await app.podsOf('v1')).toEqual([]);
    await app.healthy();
  });

  test('canary pods deleted by hand come back, and the rollout goes on', async () => {
    const [canary] = await app.podsOf('v2');
    await kubectl(['delete', 'pod', canary!.metadata.name, '--wait=false']);
    await eventually('another canary pod is ready', async () =>
      (await app.podsOf('v2')).some((pod) => pod.metadata.uid !== canary!.metadata.uid && isReady(pod)),
    );
    await app.until('10 % again', ({ status }) => status?.traffic?.canary === 10);
    await undisturbed();
  });

  test('the canary ReplicaSet scaled or deleted by hand is put back', async () => {
    const name = (await app.rollout()).status!.canary!.replicaSet!;
    await kubectl(['scale', `replicaset/${name}`, '--replicas=0']);
    await eventually('scaled back', async () => (await app.podsOf('v2')).length === 1, {
      describe: () => app.describe(),
    });
    await kubectl(['delete', 'replicaset', name, '--wait=false']);
    await eventually(
      'created again',
      async () => {
        const set = await cluster.client.find(kinds.ReplicaSet, app.namespace, name);
        return set && !set.metadata.deletionTimestamp && (await app.podsOf('v2')).length === 1;
      },
      { describe: () => app.describe() },
    );
    await app.until('10 % again', ({ status }) => status?.traffic?.canary === 10);
    await undisturbed();
  });
});
