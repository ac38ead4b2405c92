import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { injectPodTemplate } from '../../../src/mesh/injector/patch.ts';
import type { Container, PodLike } from '../../../src/mesh/injector/pod.ts';
import { Network, nodeAddresses, type PodName, podAddresses } from './network.ts';

const run = promisify(execFile);
const WEIR = ['bin/weir.js'];
/** A user of applications. */
export const APP_UID = 1000;
/** Users other than root may not read every checkout; these processes may, and nothing else. */
const READ = ['--inh-caps', '+dac_read_search', '--ambient-caps', '+dac_read_search'];

export const network = new Network(process.env.WEIR_TRANSPARENT ?? '');

export async function until<T>(what: string, read: () => Promise<T | undefined | false>): Promise<T> {
  let last: unknown;
  for (const deadline = Date.now() + 30_000; Date.now() < deadline; ) {
    try {
      const value = await read();
      if (value) return value;
      last = value;
    } catch (thrown) {
      last = thrown;
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`${what}: not within 30 s; last: ${last}`);
}

/** A pod as the injector leaves it. */
export const injected = (name: PodName, annotations: Record<string, string>): PodLike =>
  injectPodTemplate(
    {
      metadata: { name, namespace: 'shop', labels: { app: name }, annotations },
      spec: { serviceAccountName: name, containers: [{ name: 'app' }] },
    },
    {
      namespace: 'shop',
      image: 'weir:1',
      isService: () => true,
      enabled: true,
      interception: 'transparent',
    },
  );

/** Every process of the tests, so that none is left. */
export class Processes {
  readonly #children = new Set<ChildProcess>();
  readonly #directories: string[] = [];
  readonly output: string[] = [];

  start(program: string, args: string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
    const child = spawn(program, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#children.add(child);
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => this.output.push(chunk.toString()));
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  async end(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }

  /** A directory that every user may read, until `stop`. */
  directory(): string {
    const dir = mkdtempSync(join(tmpdir(), 'weir-transparent-'));
    chmodSync(dir, 0o755);
    this.#directories.push(dir);
    return dir;
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#children].map((child) => this.end(child)));
    for (const dir of this.#directories) rmSync(dir, { recursive: true, force: true });
  }
}

/** A pod: a network namespace with an application, and perhaps a proxy and its rules. */
export class TestPod {
  readonly name: PodName;
  readonly #processes: Processes;

  constructor(name: PodName, processes: Processes) {
    this.name = name;
    this.#processes = processes;
  }

  get addresses() {
    return podAddresses(this.name);
  }

  get #enter(): string[] {
    return ['netns', 'exec', network.pod(this.name)];
  }

  /** Runs a program to its end, as a user; resolves with what it printed, on whichever exit code. */
  async run(
    program: string,
    args: string[],
    { uid = APP_UID, read = false }: { uid?: number; read?: boolean } = {},
  ): Promise<{ code: number; stdout: string; stderr: string }> {
    const user =
      uid === 0 ? [] : ['setpriv', '--reuid', String(uid), '--clear-groups', ...(read ? READ : [])];
    try {
      const { stdout, stderr } = await run('ip', [...this.#enter, ...user, program, ...args], {
        timeout: 30_000,
      });
      return { code: 0, stdout, stderr };
    } catch (thrown) {
      const { code, stdout, stderr } = thrown as Error & { code?: number; stdout: string; stderr: string };
      return { code: code ?? -1, stdout, stderr };
    }
  }

  /** `curl`, with an answer of the application's parsed. */
  async curl(args: string[], uid = APP_UID): Promise<{ status: number; body: string; headers: string }> {
    const marker = '\n%{http_code}';
    const { stdout, code, stderr } = await this.run(
      'curl',
      ['-s', '-S', '-i', '--max-time', '20', '-w', marker, ...args],
      { uid },
    );
    const at = stdout.lastIndexOf('\n');
    const [headers = '', ...body] = stdout.slice(0, at).split('\r\n\r\n');
    if (code !== 0) return { status: 0, body: stderr, headers: '' };
    return { status: Number(stdout.slice(at + 1)), body: body.join('\r\n\r\n'), headers };
  }

  /** What a pod's init container does. */
  proxyInit(args: string[] = [], uid = 0) {
    return this.run(process.execPath, [...WEIR, 'proxy-init', ...args], { uid, read: true });
  }

  /** Both nat tables, without counters and comments. */
  async rules(): Promise<string> {
    const saved = await Promise.all(
      ['iptables-save', 'ip6tables-save'].map((program) => this.run(program, ['-t', 'nat'], { uid: 0 })),
    );
    return saved
      .map(({ stdout }) => stdout)
      .join('')
      .split('\n')
      .filter((line) => !line.startsWith('#'))
      .join('\n');
  }

  async startApp(env: NodeJS.ProcessEnv): Promise<void> {
    const child = this.#processes.start(
      'ip',
      [...this.#enter, process.execPath, 'test/transparent/support/app.ts'],
      { ...env, APP_NAME: this.name },
    );
    await once(child.stdout!, 'data');
  }

  /** Does with this pod what the kubelet does with one that the injector has changed: rules first, then the sidecar. */
  async startInjected(annotations: Record<string, string>, trust: string): Promise<void> {
    const [init, proxy] = injected(this.name, annotations).spec!.initContainers!;
    const rules = await this.run(process.execPath, [...WEIR, ...init!.args!], { uid: 0 });
    if (rules.code !== 0) throw new Error(rules.stderr);
    await this.#startProxy(proxy!, trust);
  }

  async #startProxy({ env = [], securityContext }: Container, trust: string): Promise<void> {
    const dir = this.#processes.directory();
    writeFileSync(join(dir, 'token'), this.name);
    writeFileSync(join(dir, 'ca.pem'), trust);
    const fields: Record<string, string> = {
      'status.podIP': this.addresses.ipv4,
      'metadata.name': this.name,
      'metadata.namespace': 'shop',
      'spec.serviceAccountName': this.name,
    };
    const given = env.map(({ name, value, valueFrom }) => [
      name,
      value ?? fields[valueFrom?.fieldRef?.fieldPath ?? ''] ?? '',
    ]);
    const user = ['setpriv', '--reuid', String(securityContext!.runAsUser), '--clear-groups', ...READ];
    const child = this.#processes.start('ip', [...this.#enter, ...user, process.execPath, ...WEIR, 'proxy'], {
      ...Object.fromEntries(given),
      // Names need a DNS server, files a kubelet.
      WEIR_MESH: `https://${nodeAddresses.ipv4}:8443`,
      WEIR_TRUST: join(dir, 'ca.pem'),
      WEIR_TOKEN: join(dir, 'token'),
    });
    await until(`proxy of ${this.name} ready`, async () => {
      if (child.exitCode !== null) throw new Error(`it ended: ${this.#processes.output.join('')}`);
      const paths = ['ready', 'started'];
      const answers = await Promise.all(
        paths.map((path) => fetch(`http://${this.addresses.ipv4}:4191/${path}`)),
      );
      return answers.every(({ ok }) => ok);
    });
  }

  /** Lines of the proxy's metrics of this family that have all these labels. */
  async metric(family: string, labels: Record<string, string>): Promise<number> {
    const text = await (await fetch(`http://${this.addresses.ipv4}:4191/metrics`)).text();
    return text
      .split('\n')
      .filter(
        (line) =>
          line.startsWith(`${family}{`) &&
          Object.entries(labels).every(([name, value]) => line.includes(`${name}="${value}"`)),
      )
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
  }
}
