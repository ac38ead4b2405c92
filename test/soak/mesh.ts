/**
 * Two sidecars as processes of their own, and the mesh's control plane in this one, against as much of the Kubernetes API
 * as it uses. Each Service is split over two leaves, whose pods are one proxy on two ports.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { KubeObject } from '../../src/api/meta.ts';
import { connect } from '../../src/kube/index.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { PROXY_ENV, proxyFlags } from '../../src/lib/proxy-process.ts';
import { type ControlPlane, startControlPlane } from '../../src/mesh/control-plane.ts';
import { FakeApi } from '../../src/mesh/fake-api.ts';
import { freePorts } from '../support/ports.ts';
import type { Apps } from './apps.ts';
import type { Ports } from './load.ts';

const CORE = '/api/v1';
const SLICES = '/apis/discovery.k8s.io/v1/endpointslices';
const SPLITS = '/apis/split.smi-spec.io/v1alpha4/trafficsplits';
export const SERVICES = ['web', 'rpc', 'raw'] as const;
type Name = (typeof SERVICES)[number];
const PROTOCOLS: Record<Name, string | undefined> = { web: undefined, rpc: 'kubernetes.io/h2c', raw: 'tcp' };
/** One proxy's process, watched from outside and, for its heap, from inside. */
export class Sidecar {
  readonly name: string;
  readonly child: ChildProcess;
  readonly #admin: number;

  constructor(name: string, admin: number, env: NodeJS.ProcessEnv) {
    this.name = name;
    this.#admin = admin;
    const probe = join(import.meta.dirname, 'probe.ts');
    const flags = [...proxyFlags(env, true), '--expose-gc', '--import', probe];
    this.child = spawn(process.execPath, [...flags, 'dist/proxy.cjs'], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: { ...PROXY_ENV, ...process.env, WEIR_LOG: 'error', ...env },
    });
  }

  async #admins(path: string): Promise<string> {
    // A connection that stayed would count as one of the proxy's.
    const asked = get({ host: '127.0.0.1', port: this.#admin, path, agent: false });
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    return await text(response);
  }

  async ready(): Promise<void> {
    const end = Date.now() + 60_000;
    while ((await this.#admins('/ready').catch(() => '')) !== 'ready\n') {
      if (this.child.exitCode !== null || Date.now() > end)
        throw new Error(`${this.name} does not get ready`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** After a collection of garbage. */
  async memory(): Promise<NodeJS.MemoryUsage> {
    const answer = once(this.child, 'message');
    this.child.send('collect');
    return (await answer)[0] as NodeJS.MemoryUsage;
  }

  /** Open ones. Kernel pipes are kept for the next long bodies, and are told apart. */
  get descriptors(): { pipes: number; others: number } {
    const folder = `/proc/${this.child.pid}/fd`;
    const counts = { pipes: 0, others: 0 };
    for (const fd of readdirSync(folder)) {
      try {
        counts[readlinkSync(join(folder, fd)).startsWith('pipe:') ? 'pipes' : 'others'] += 1;
      } catch {
        // Closed meanwhile.
      }
    }
    return counts;
  }

  /** Seconds of CPU. */
  get cpu(): number {
    const fields = readFileSync(`/proc/${this.child.pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }

  /** Seconds that it was ready to run and no core was free (Linux, sched/stats.c). */
  get waited(): number {
    return Number(readFileSync(`/proc/${this.child.pid}/schedstat`, 'utf8').split(' ')[1]) / 1e9;
  }

  /** What it says is open. */
  async open(): Promise<{ connections: number; inFlight: number; tcp: number }> {
    const { connections, inFlight } = JSON.parse(await this.#admins('/config'));
    const metrics = await this.#admins('/metrics');
    const sum = (name: string) =>
      [...metrics.matchAll(new RegExp(`^${name}\\{[^}]*\\} (\\d+)`, 'gm'))].reduce(
        (all, [, value]) => all + Number(value),
        0,
      );
    return { connections, inFlight, tcp: sum('tcp_open_total') - sum('tcp_close_total') };
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }
}

const metadata = (name: string, extra: object = {}) => ({ metadata: { name, namespace: 'shop', ...extra } });

export class Mesh {
  readonly sidecars: Sidecar[] = [];
  ports!: Ports;
  /** Times that Services, their endpoints or splits changed. */
  changes = 0;
  readonly #api = new FakeApi();
  readonly #apps: Apps;
  readonly #lifetime: number;
  readonly #dir = mkdtempSync(join(tmpdir(), 'weir-soak-'));
  readonly #stop = new AbortController();
  #plane: ControlPlane | undefined;

  /** `lifetime` of certificates, in milliseconds. */
  constructor(apps: Apps, lifetime: number) {
    this.#apps = apps;
    this.#lifetime = lifetime;
  }

  async start(): Promise<void> {
    const api = await this.#api.start();
    const token = { username: 'system:serviceaccount:shop:soak', audiences: ['weir-identity'] };
    api.tokens.set('soak', token);
    api.set(`${CORE}/namespaces`, { metadata: { name: 'shop', labels: { 'weir.dev/inject': 'enabled' } } });
    const apps = SERVICES.flatMap((name) => this.#apps[name]);
    const [mesh, listen, admins] = [
      await freePorts(apps.length),
      await freePorts(SERVICES.length),
      await freePorts(2),
    ];
    this.ports = Object.fromEntries(SERVICES.map((name, n) => [name, listen[n]!])) as unknown as Ports;
    const inbound = Object.fromEntries(apps.map((port, n) => [port, mesh[n]!]));
    this.#pod('client', {});
    this.#pod('server', inbound);
    for (const name of SERVICES) {
      for (const leaf of [name, `${name}-a`, `${name}-b`]) this.#service(leaf, PROTOCOLS[name]);
      this.split(name, 50);
    }
    this.#plane = await startControlPlane({
      client: await connect({ kubeconfig: api.kubeconfig }),
      namespace: 'weir',
      replica: 'mesh',
      trustDomain: 'weir.local',
      listen: { host: '127.0.0.1', port: 0 },
      image: 'weir',
      certificateLifetime: this.#lifetime,
      log: silentLogger,
      signal: this.#stop.signal,
    });
    const trust = await this.#trust();
    this.#sidecar('server', trust, admins[0]!, {
      WEIR_INBOUND: JSON.stringify(apps.map((forward, n) => ({ listen: mesh[n], forward }))),
    });
    this.#sidecar('client', trust, admins[1]!, {
      WEIR_OUTBOUND: JSON.stringify(
        SERVICES.map((name, n) => ({ listen: listen[n], destination: `${name}.shop:80` })),
      ),
    });
    await Promise.all(this.sidecars.map((each) => each.ready()));
  }

  async #trust(): Promise<string> {
    const end = Date.now() + 30_000;
    for (;;) {
      const found = this.#api.get(`${CORE}/configmaps`, 'shop/weir-trust') as
        | { data?: Record<string, string> }
        | undefined;
      const bundle = found?.data?.['ca.pem'];
      if (bundle) return bundle;
      if (Date.now() > end) throw new Error('no trust bundle');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  #sidecar(name: string, trust: string, admin: number, env: NodeJS.ProcessEnv): void {
    const file = (each: string, text: string) => {
      const path = join(this.#dir, `${name}-${each}`);
      writeFileSync(path, text);
      return path;
    };
    this.sidecars.push(
      new Sidecar(name, admin, {
        POD_IP: '127.0.0.1',
        POD_NAME: name,
        POD_NAMESPACE: 'shop',
        SERVICE_ACCOUNT: 'soak',
        WEIR_MESH: `https://127.0.0.1:${this.#plane!.port}`,
        WEIR_TRUST: file('ca.pem', trust),
        WEIR_TOKEN: file('token', 'soak'),
        WEIR_ADMIN: `127.0.0.1:${admin}`,
        ...env,
      }),
    );
  }

  #pod(name: string, inbound: Record<string, number>): void {
    this.#api.set(`${CORE}/pods`, {
      ...metadata(name, {
        annotations: { 'weir.dev/injected': '1', 'weir.dev/inbound-ports': JSON.stringify(inbound) },
      }),
      spec: { serviceAccountName: 'soak' },
      status: { conditions: [{ type: 'Ready', status: 'True' }] },
    } as KubeObject);
  }

  #service(name: string, appProtocol: string | undefined): void {
    const port = { port: 80, ...(appProtocol ? { appProtocol } : {}) };
    this.#api.set(`${CORE}/services`, { ...metadata(name), spec: { ports: [port] } } as KubeObject);
  }

  /** Percent of the requests to `name` that go to its second leaf. */
  split(name: Name, percent: number): void {
    const backends = [
      { service: `${name}-a`, weight: 100 - percent },
      { service: `${name}-b`, weight: percent },
    ];
    this.changes += 1;
    this.#api.set(SPLITS, { ...metadata(name), spec: { service: name, backends } } as KubeObject);
  }

  /** Whether pods stand behind a leaf. */
  endpoints(name: Name, leaf: 'a' | 'b', there: boolean): void {
    const port = this.#apps[name][leaf === 'a' ? 0 : 1]!;
    this.changes += 1;
    this.#api.set(SLICES, {
      ...metadata(`${name}-${leaf}-1`, { labels: { 'kubernetes.io/service-name': `${name}-${leaf}` } }),
      addressType: 'IPv4',
      ports: [{ name: '', port }],
      endpoints: there
        ? [
            {
              addresses: ['127.0.0.1'],
              conditions: { ready: true, serving: true },
              targetRef: { kind: 'Pod', name: 'server', namespace: 'shop' },
            },
          ]
        : [],
    } as KubeObject);
  }

  get certificates(): number {
    return this.#plane?.stats().certificatesIssued ?? 0;
  }

  async stop(): Promise<void> {
    await Promise.all(this.sidecars.map((each) => each.stop()));
    await this.#plane?.stop();
    this.#stop.abort();
    this.#api.stop();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
