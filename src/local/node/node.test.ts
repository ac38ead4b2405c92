import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { silentLogger } from '../../lib/log.ts';
import { proxyFlags } from '../../lib/proxy-process.ts';
import { AddressPool } from './addresses.ts';
import { ContainerRunner, type Launch } from './container.ts';
import { environmentOf, expand } from './environment.ts';
import { commandOf, parseImage } from './images.ts';
import { isAlive, ManagedProcess } from './process.ts';
import { unschedulableReason } from './registration.ts';
import { rewritePaths, rewriteServices } from './rewrite.ts';
import { backendsOf } from './service-proxy.ts';
import type { Container, NodePod } from './types.ts';
import { mountsOf, referencesOf } from './volumes.ts';

async function until(what: string, probe: () => boolean, timeoutMs = 15_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!probe()) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const pod: NodePod = {
  metadata: { name: 'web-1', namespace: 'shop', uid: 'u', labels: { 'pod-template-hash': 'abc' } },
  spec: { containers: [], serviceAccountName: 'web' },
};

describe('pure parts', () => {
  test('images of this package are its modules, others need a command', () => {
    expect(parseImage('registry.example:5000/team/weir-sample:v2@sha256:00')).toEqual({
      name: 'weir-sample',
      tag: 'v2',
    });
    const entries = { main: 'main.js', proxy: 'proxy.cjs', sample: 'sample.js' };
    const argvOf = (container: Partial<Container>) =>
      commandOf({ name: 'c', ...container }, entries).argv.slice(1);
    expect(argvOf({ image: 'weir', args: ['proxy'] })).toEqual([...proxyFlags({}, true), 'proxy.cjs']);
    const file = ['proxy', '--config', 'proxy.yaml'];
    expect(argvOf({ image: 'weir', args: file })).toEqual(['main.js', ...file]);
    expect(argvOf({ image: 'ghcr.io/x/weir:1', command: ['weir', 'mesh'] })).toEqual(['main.js', 'mesh']);
    expect(commandOf({ name: 'c', image: 'weir-sample:v3' }, entries).env).toEqual({ VERSION: 'v3' });
    expect(argvOf({ image: 'busybox', command: ['sleep', '5'] })).toEqual(['5']);
    expect(() => argvOf({ image: 'nginx' })).toThrow(/give the container a command/);
  });

  test('environment: fields, references and expansion', () => {
    const container: Container = {
      name: 'c',
      env: [
        { name: 'HASH', valueFrom: { fieldRef: { fieldPath: "metadata.labels['pod-template-hash']" } } },
        { name: 'KEY', valueFrom: { configMapKeyRef: { name: 'm', key: 'k' } } },
        { name: 'BOTH', value: '$(HASH)-$(KEY)-$$(HASH)-$(NONE)' },
        { name: 'OPTIONAL', valueFrom: { secretKeyRef: { name: 's', key: 'k', optional: true } } },
      ],
    };
    const references = {
      configMap: (name: string) => (name === 'm' ? { k: 'v' } : undefined),
      secret: () => undefined,
    };
    const env = environmentOf(pod, container, { podIP: '127.9.1.1', hostIP: '127.9.0.1' }, references);
    expect(env).toEqual({
      POD_IP: '127.9.1.1',
      POD_NAME: 'web-1',
      POD_NAMESPACE: 'shop',
      HOSTNAME: 'web-1',
      HASH: 'abc',
      KEY: 'v',
      BOTH: 'abc-v-$(HASH)-$(NONE)',
    });
    const missing = { ...references, configMap: () => undefined };
    expect(() => environmentOf(pod, container, { podIP: '', hostIP: '' }, missing)).toThrow(/ConfigMap m/);
    expect(expand('plain', {})).toBe('plain');
  });

  test('mount paths become real directories, once and only as whole path segments', () => {
    const mounts = [
      { mountPath: '/var/run/weir', realPath: '/state/a' },
      { mountPath: '/var/run/weir/trust/', realPath: '/state/b/var/run/weir' },
    ];
    expect(rewritePaths('--ca=/var/run/weir/trust/ca.pem', mounts)).toBe('--ca=/state/b/var/run/weir/ca.pem');
    expect(rewritePaths('/var/run/weir/x:/var/run/weird:/opt/var/run/weir', mounts)).toBe(
      '/state/a/x:/var/run/weird:/opt/var/run/weir',
    );
    fc.assert(fc.property(fc.string(), (text) => expect(rewritePaths(text, [])).toBe(text)));
  });

  test('URLs of Services get their address, everything else is left', () => {
    const resolve = ({ name, namespace }: { name: string; namespace: string }) =>
      `${namespace}/${name}` === 'shop/orders' ? { address: '127.9.240.1' } : undefined;
    const rewrite = (text: string) => rewriteServices(text, 'shop', resolve);
    expect(rewrite('http://orders')).toBe('http://127.9.240.1');
    expect(rewrite('--x=https://orders.shop.svc:8443/v1')).toBe('--x=https://127.9.240.1:8443/v1');
    expect(rewrite('http://orders.shop.svc.cluster.local/a,http://orders.other')).toBe(
      'http://127.9.240.1/a,http://orders.other',
    );
    expect(rewrite('http://orders.example.com http://127.0.0.1:80 orders')).toBe(
      'http://orders.example.com http://127.0.0.1:80 orders',
    );
    expect(rewriteServices('http://orders/', 'shop', () => ({ address: '127.9.240.1', port: 20080 }))).toBe(
      'http://127.9.240.1:20080/',
    );
  });

  test('addresses are unique, in the pod range, and not soon used again', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 400 }), (releases) => {
        const pool = new AddressPool('127.9');
        pool.reserve('127.9.1.2');
        const live = new Set(['127.9.1.2']);
        for (const release of releases) {
          const address = pool.allocate();
          expect(live.has(address)).toBe(false);
          expect(address).toMatch(/^127\.9\.([1-9]|[1-9]\d|1\d\d|2[0-3]\d)\.\d+$/);
          live.add(address);
          if (release) {
            pool.release(address);
            live.delete(address);
          }
        }
      }),
      { numRuns: 30 },
    );
  });

  test('volumes: where mounts are, and which objects they need', () => {
    const volumes = [
      {
        name: 'trust',
        projected: { sources: [{ configMap: { name: 'weir-trust' } }, { secret: { name: 'keys' } }] },
      },
      { name: 'host', hostPath: { path: '/srv' } },
    ];
    const container = {
      name: 'c',
      volumeMounts: [
        { name: 'trust', mountPath: '/t', subPath: 'ca' },
        { name: 'host', mountPath: '/h' },
      ],
    };
    expect(mountsOf(container, volumes, '/v', '/sa').map(({ realPath }) => realPath)).toEqual([
      '/v/trust/ca',
      '/srv',
      '/sa',
    ]);
    const { configMaps, secrets } = referencesOf({ ...pod, spec: { containers: [container], volumes } });
    expect([[...configMaps], [...secrets]]).toEqual([['weir-trust'], ['keys']]);
  });

  test('scheduling: node selectors and required anti-affinity', () => {
    expect(unschedulableReason(pod, 'local', [])).toBeUndefined();
    expect(
      unschedulableReason({ ...pod, spec: { ...pod.spec, nodeSelector: { disk: 'ssd' } } }, 'local', []),
    ).toMatch(/node selector/);
    const term = { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'web' } } };
    const affinity = { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } };
    const shy = { ...pod, spec: { ...pod.spec, affinity } } as NodePod;
    const other: NodePod = {
      metadata: { name: 'o', namespace: 'shop', uid: 'o', labels: { app: 'web' } },
      spec: { containers: [], nodeName: 'local' },
    };
    expect(unschedulableReason(shy, 'local', [other])).toMatch(/anti-affinity/);
    expect(unschedulableReason(shy, 'local', [])).toBeUndefined();
  });

  test('the service proxy sends to ready endpoints only', () => {
    const slice = {
      metadata: { name: 's' },
      ports: [{ name: 'http', port: 8080 }],
      endpoints: [
        { addresses: ['a'], conditions: { ready: true } },
        { addresses: ['b'], conditions: { ready: false } },
        { addresses: ['c'] },
      ],
    };
    expect(backendsOf([slice], 'http').map(({ host }) => host)).toEqual(['a', 'c']);
    expect(backendsOf([slice], 'grpc')).toEqual([]);
  });
});

describe('containers as processes', () => {
  let dir: string;
  const started: ContainerRunner[] = [];
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'weir-node-'));
  });
  afterEach(async () => {
    await Promise.all(started.splice(0).map((runner) => runner.stop(100)));
    rmSync(dir, { recursive: true, force: true });
  });

  function runnerOf(
    script: string,
    container: Partial<Container> = {},
    restartPolicy: 'Always' | 'OnFailure' | 'Never' = 'Always',
    { launch, onChange = () => {} }: { launch?: () => Promise<Launch>; onChange?: () => void } = {},
  ) {
    const node = async (): Promise<Launch> => ({
      argv: [process.execPath, '-e', script],
      env: { PATH: process.env.PATH ?? '' },
      cwd: dir,
    });
    const runner = new ContainerRunner({
      container: { name: 'c', ...container },
      dir: join(dir, 'c'),
      podIP: '127.0.0.1',
      restartPolicy,
      graceMs: 1000,
      launch: launch ?? node,
      onChange,
      log: silentLogger,
    });
    started.push(runner);
    return runner;
  }
  const pidOf = (runner: ContainerRunner) => Number(runner.status().containerID?.split('//')[1]);

  test('a container that succeeds ends for good, its output in the log of that run', async () => {
    const runner = runnerOf('console.log("done")', {}, 'OnFailure');
    await runner.run();
    expect(runner.status()).toMatchObject({
      restartCount: 0,
      ready: false,
      state: { terminated: { exitCode: 0, reason: 'Completed' } },
    });
    expect(readFileSync(join(dir, 'c', '0.log'), 'utf8')).toBe('done\n');
  });

  test('one that fails is restarted at once, then backs off', async () => {
    const runner = runnerOf('process.exit(3)');
    void runner.run();
    await until('back-off', () => runner.status().state.waiting?.reason === 'CrashLoopBackOff');
    expect(runner.status().restartCount).toBe(2);
    expect(runner.status().lastState.terminated?.exitCode).toBe(3);
  });

  test('SIGTERM first; SIGKILL for the group that ignores it', async () => {
    const runner = runnerOf(
      'process.on("SIGTERM", () => {}); setInterval(() => {}, 1000); console.log("up")',
    );
    void runner.run();
    const logFile = join(dir, 'c', '0.log');
    await until('up', () => existsSync(logFile) && readFileSync(logFile, 'utf8').includes('up'));
    const before = Date.now();
    await runner.stop(150);
    expect(Date.now() - before).toBeGreaterThanOrEqual(140);
    expect(runner.status().state.terminated).toMatchObject({ exitCode: 137, signal: 9 });
  });

  test('readiness follows the probe, soon after the start', async () => {
    const script = 'require("http").createServer((q, r) => r.end("ok")).listen(18437, "127.0.0.1")';
    const runner = runnerOf(script, { readinessProbe: { httpGet: { port: 18437 }, periodSeconds: 10 } });
    const before = Date.now();
    void runner.run();
    await until('ready', () => runner.status().ready);
    expect(Date.now() - before).toBeLessThan(9000);
  });

  test('a failed liveness probe restarts it', async () => {
    const runner = runnerOf('setInterval(() => {}, 1000)', {
      livenessProbe: { exec: { command: ['false'] }, periodSeconds: 1, failureThreshold: 1 },
    });
    void runner.run();
    await until(
      'restarted',
      () => runner.status().restartCount >= 1 && runner.status().state.running !== undefined,
    );
    expect(runner.status().lastState.terminated?.signal).toBe(15);
  });

  test('a new node adopts the process of the one before', async () => {
    const first = runnerOf('setInterval(() => {}, 1000)');
    void first.run();
    await until('running', () => first.status().state.running !== undefined);
    const pid = pidOf(first);
    const second = runnerOf('process.exit(1)');
    void second.run();
    await until('adopted', () => second.status().state.running !== undefined);
    expect(pidOf(second)).toBe(pid);
    expect(second.status().restartCount).toBe(0);
    await second.stop(1000);
    expect(isAlive({ pid, startTime: '' })).toBe(false);
  });

  test('a recycled pid is not mistaken for the process', () => {
    expect(ManagedProcess.adopt({ pid: process.pid, startTime: '1' })).toBeUndefined();
  });

  test('an image that cannot be had: once ErrImagePull, then ImagePullBackOff, as a kubelet says it', async () => {
    const seen: (string | undefined)[] = [];
    const runner: ContainerRunner = runnerOf('', {}, 'Always', {
      launch: async () => ({
        ...commandOf(
          { name: 'c', image: 'registry.example/web:v2' },
          { main: 'main.js', proxy: 'proxy.cjs', sample: 'sample.js' },
        ),
        cwd: dir,
      }),
      onChange: () => seen.push(runner.status().state.waiting?.reason),
    });
    void runner.run();
    await until('backed off', () => seen.includes('ImagePullBackOff'));
    expect(seen).toEqual(['ErrImagePull', 'ImagePullBackOff']);
    expect(runner.status().state.waiting?.message).toContain('registry.example/web:v2');
  });

  test('a program that does not exist is a start error', async () => {
    const missing = ManagedProcess.spawn({
      argv: ['/no/such/program'],
      env: {},
      cwd: dir,
      logFile: join(dir, 'log'),
    });
    expect(await missing.exited).toMatchObject({ exitCode: 128 });
  });
});
