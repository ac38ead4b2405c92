import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { deployment, type Harness, startHarness, whyNoKubectl, widgetCrd } from './fixtures/harness.ts';

const reason = whyNoKubectl();
if (reason) console.warn(reason);

let harness: Harness;
beforeAll(async () => {
  harness = await startHarness();
});
afterAll(() => harness.stop());

/** Runs kubectl, which must succeed. */
async function ok(args: string, input?: object): Promise<string> {
  const { code, out, err } = await harness.kubectl(args.split(' '), input && JSON.stringify(input));
  if (code !== 0) throw new Error(`kubectl ${args} failed: ${err}`);
  return out;
}

async function refused(args: string, input?: object): Promise<string> {
  const { code, err } = await harness.kubectl(args.split(' '), input && JSON.stringify(input));
  expect(code).not.toBe(0);
  return err;
}

// Where kubectl is missing the same behaviour is covered by server.test.ts.
const where = reason ? describe.skip : describe;
where('the real kubectl', () => {
  test('version, api-resources, explain', async () => {
    expect(await ok('version')).toContain('Server Version: v1.32');
    expect(await ok('api-resources')).toMatch(/deployments\s+deploy\s+apps\/v1\s+true\s+Deployment/);
    expect(await ok('explain deployment.spec.strategy')).toContain('rollingUpdate');
  });

  test('apply is idempotent and diff is empty after it', async () => {
    expect(await ok('apply -f -', deployment('web'))).toContain('created');
    expect(await ok('apply -f -', deployment('web'))).toContain('unchanged');
    expect(await ok('diff -f -', deployment('web'))).toBe('');
    expect(
      (await harness.kubectl(['diff', '-f', '-'], JSON.stringify(deployment('web', 'weir-sample:v2')))).code,
    ).toBe(1);
    expect(await ok('get deploy')).toMatch(/NAME\s+READY\s+UP-TO-DATE\s+AVAILABLE\s+AGE\nweb\s+0\/2/);
  });

  test('scale, rollout, set, label, annotate, patch, replace, describe', async () => {
    await ok('apply -f -', deployment('tools'));
    await ok('scale deploy/tools --replicas=3');
    await ok('rollout pause deploy/tools');
    expect(await ok('get deploy tools -o jsonpath={.spec.paused}')).toBe('true');
    await ok('rollout resume deploy/tools');
    await ok('rollout restart deploy/tools');
    await ok('set image deploy/tools app=weir-sample:v3');
    await ok('label deploy tools a=b');
    await ok('annotate deploy tools c=d');
    await ok('patch deploy tools --type=json -p [{"op":"replace","path":"/spec/replicas","value":5}]');
    await ok('patch deploy tools --type=merge -p {"spec":{"minReadySeconds":3}}');
    await ok(
      'patch deploy tools -p {"spec":{"template":{"spec":{"containers":[{"name":"app","env":[{"name":"A","value":"1"}]}]}}}}',
    );
    const object = JSON.parse(await ok('get deploy tools -o json'));
    expect(object.spec).toMatchObject({ replicas: 5, minReadySeconds: 3 });
    expect(object.spec.template.spec.containers).toEqual([
      expect.objectContaining({ image: 'weir-sample:v3', env: [{ name: 'A', value: '1' }] }),
    ]);
    object.spec.replicas = 1;
    await ok('replace -f -', object);
    expect(await ok('describe deploy tools')).toContain('1 desired');
    await ok('delete deploy tools --wait');
  });

  test('server-side apply: conflicts name the manager, force takes over, an empty diff follows', async () => {
    await ok('apply --server-side --field-manager=one -f -', deployment('shared'));
    const theirs = deployment('shared', 'weir-sample:v9');
    expect(await refused('apply --server-side --field-manager=two -f -', theirs)).toContain(
      'conflict with "one"',
    );
    await ok('apply --server-side --field-manager=two --force-conflicts -f -', theirs);
    expect(await ok('diff --server-side --field-manager=two --force-conflicts -f -', theirs)).toBe('');
  });

  test('unknown fields are refused, and a selector must match its template', async () => {
    const odd = deployment('odd') as { spec: { template: { metadata: object }; strange?: number } };
    odd.spec.strange = 1;
    expect(await refused('apply -f -', odd)).toContain('unknown field "spec.strange"');
    delete odd.spec.strange;
    odd.spec.template.metadata = { labels: { app: 'other' } };
    expect(await refused('apply -f -', odd)).toContain('`selector` does not match template `labels`');
  });

  test('custom resources: wait for Established, columns, validation, scale', async () => {
    await ok('apply -f -', widgetCrd);
    await ok('wait --for=condition=Established crd/widgets.example.com --timeout=5s');
    const widget = (size: number) => ({
      apiVersion: 'example.com/v1',
      kind: 'Widget',
      metadata: { name: 'w' },
      spec: { size },
    });
    expect(await refused('apply -f -', widget(0))).toContain('should be greater than or equal to 1');
    await ok('apply -f -', widget(7));
    expect(await ok('get wd')).toMatch(/NAME\s+SIZE\nw\s+7/);
    await ok('scale widget/w --replicas=4');
    await ok('patch widget w --subresource=status --type=merge -p {"status":{"ready":true}}');
    expect(await ok('get widget w -o jsonpath={.spec.replicas}/{.status.ready}/{.metadata.generation}')).toBe(
      '4/true/2',
    );
    await ok('delete crd widgets.example.com --wait');
    // Which of the two depends on the age of kubectl's discovery cache.
    expect(await refused('get widgets')).toMatch(
      /doesn't have a resource type|could not find the requested resource/,
    );
  });

  test('typed commands that send protobuf: namespaces, config, roles, tokens, services', async () => {
    await ok('create namespace team');
    await ok('create configmap c --from-literal=a=b -n team');
    await ok('create secret generic s --from-literal=p=q -n team');
    await ok('create serviceaccount bot -n team');
    await ok('create role reader --verb=get,list --resource=configmaps -n team');
    await ok('create rolebinding reader --role=reader --serviceaccount=team:bot -n team');
    await ok('create deployment d --image=weir-sample:v1 --port=80 -n team');
    await ok('expose deploy d --port=80 --target-port=8080 -n team');
    expect(await ok('get service d -n team')).toMatch(/d\s+ClusterIP\s+127\.96\.0\.\d+\s+<none>\s+80\/TCP/);
    expect((await ok('create token bot -n team')).split('.')).toHaveLength(3);
    const as = '--as=system:serviceaccount:team:bot -n team';
    expect(await ok(`get cm c -o jsonpath={.data.a} ${as}`)).toBe('b');
    expect(await refused(`get secrets ${as}`)).toContain(
      'User "system:serviceaccount:team:bot" cannot list resource "secrets" in API group "" in the namespace "team"',
    );
    expect(await ok('auth can-i create deployments')).toContain('yes');
    await ok('delete namespace team --wait --timeout=10s');
    expect(await refused('get namespace team')).toContain('NotFound');
  });

  test('logs come from the files of the node', async () => {
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'talker' },
      spec: { containers: [{ name: 'app', image: 'weir:1' }] },
    };
    await ok('create -f -', pod);
    expect(await refused('logs talker')).toContain('waiting to start');
    const uid = await ok('get pod talker -o jsonpath={.metadata.uid}');
    const folder = join(harness.dir, 'pods', `default_talker_${uid}`, 'app');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, '0.log'), 'one\ntwo\nthree\n');
    writeFileSync(join(folder, '1.log'), 'again\n');
    expect(await ok('logs talker')).toBe('again\n');
    expect(await ok('logs talker --previous --tail=2')).toBe('two\nthree\n');
    expect(await ok('get pod talker')).toMatch(/talker\s+0\/1\s+Pending/);
    await ok('delete pod talker --wait');
  });

  test('logs -f prints what is written until the container ends, and what it wrote last', async () => {
    const containers = [{ name: 'app', image: 'weir:1' }];
    await ok('create -f -', {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'follow' },
      spec: { containers },
    });
    const folder = join(
      harness.dir,
      'pods',
      `default_follow_${await ok('get pod follow -o jsonpath={.metadata.uid}')}`,
      'app',
    );
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, '0.log'), 'one\n');
    const state = async (value: object) =>
      expect(
        await harness.call(
          'PATCH',
          '/api/v1/namespaces/default/pods/follow/status',
          {
            status: { containerStatuses: [{ name: 'app', image: 'weir:1', restartCount: 0, state: value }] },
          },
          { type: 'application/merge-patch+json' },
        ),
      ).toMatchObject({ status: 200 });
    await state({ running: { startedAt: '2026-01-05T12:00:00Z' } });
    const following = harness.kubectlStream(['logs', '-f', 'follow']);
    await following.until('one\n');
    appendFileSync(join(folder, '0.log'), 'two\n');
    await following.until('one\ntwo\n');
    appendFileSync(join(folder, '0.log'), 'last words\n');
    await state({ terminated: { exitCode: 0 } });
    expect(await following.ended).toEqual({ code: 0, out: 'one\ntwo\nlast words\n', err: '' });
    await ok('delete pod follow --wait');
  });

  test('an eviction is refused by a PodDisruptionBudget that allows none, and deletes otherwise', async () => {
    const labels = { app: 'guarded' };
    const containers = [{ name: 'app', image: 'weir:1' }];
    await ok('create -f -', {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'guarded', labels },
      spec: { containers },
    });
    await ok('create -f -', {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata: { name: 'keep' },
      spec: { minAvailable: 1, selector: { matchLabels: labels } },
    });
    const allow = (disruptionsAllowed: number) =>
      harness.call(
        'PATCH',
        '/apis/policy/v1/namespaces/default/poddisruptionbudgets/keep/status',
        { status: { disruptionsAllowed, currentHealthy: 1, desiredHealthy: 1, expectedPods: 1 } },
        { type: 'application/merge-patch+json' },
      );
    const evict = () =>
      harness.call('POST', '/api/v1/namespaces/default/pods/guarded/eviction', {
        apiVersion: 'policy/v1',
        kind: 'Eviction',
        metadata: { name: 'guarded', namespace: 'default' },
      });
    expect((await allow(0)).status).toBe(200);
    expect(await evict()).toMatchObject({
      status: 429,
      body: {
        reason: 'TooManyRequests',
        details: { causes: [{ reason: 'DisruptionBudget', message: expect.stringContaining('keep') }] },
      },
    });
    expect(await ok('get pod guarded -o name')).toContain('pod/guarded');
    await allow(1);
    expect((await evict()).status).toBe(201);
    await ok('wait --for=delete pod/guarded --timeout=5s');
    await ok('delete pdb keep');
  });

  test('get -w prints changes as they happen', async () => {
    const watching = harness.kubectl(['get', 'configmap', '-w', '--request-timeout=3s', '-o', 'name']);
    await ok('create configmap seen --from-literal=a=1');
    await ok('delete configmap seen');
    expect((await watching).out).toContain('configmap/seen');
  });
});
