import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { kinds } from '../../../src/api/kinds.ts';
import type { KubeObject } from '../../../src/api/meta.ts';
import { IDENTITY_AUDIENCE } from '../../../src/api/names.ts';
import { silentLogger } from '../../../src/lib/log.ts';
import { PodTokens, readAccess, writeCredentials } from '../../../src/local/node/credentials.ts';
import { SupervisedChild } from '../../../src/local/supervisor/child.ts';
import type { KubernetesCluster } from './cluster.ts';

const NEAR = '10.250.0.1';
const FAR = '10.250.0.2';

const ip = (...args: string[]) => execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });

/**
 * Another machine: a network namespace behind a cable of its own. One replica of Weir's controller runs on it as a pod
 * does, started again whenever it ends. `cut` drops every packet both ways without a word to either side.
 */
export class Machine {
  /** Where its requests come from, as the API server's audit log has it. */
  readonly address = FAR;
  readonly pod = 'weir-controller-far';
  readonly #cluster: KubernetesCluster;
  readonly #name = `far-${process.pid}`;
  #controller: SupervisedChild | undefined;
  /** Moments (Date.now()) at which the controller was started. */
  readonly starts: number[] = [];

  constructor(cluster: KubernetesCluster) {
    this.#cluster = cluster;
    ip('netns', 'add', this.#name);
    ip('link', 'add', 'far0', 'type', 'veth', 'peer', 'name', 'far1', 'netns', this.#name);
    ip('address', 'add', `${NEAR}/30`, 'dev', 'far0');
    ip('link', 'set', 'far0', 'up');
    ip('-n', this.#name, 'address', 'add', `${FAR}/30`, 'dev', 'far1');
    for (const link of ['lo', 'far1']) ip('-n', this.#name, 'link', 'set', link, 'up');
    ip('-n', this.#name, 'route', 'add', 'default', 'via', NEAR);
  }

  /** A replica like the one whose process is `pid`, with a Pod, tokens and files of its own. */
  async startController(pid: number): Promise<void> {
    const { client, dir, kubeconfig } = this.#cluster;
    const read = (file: string) => readFileSync(`/proc/${pid}/${file}`, 'utf8').split('\0').filter(Boolean);
    const env = Object.fromEntries(
      read('environ').map((line) => {
        const at = line.indexOf('=');
        return [line.slice(0, at), line.slice(at + 1)];
      }),
    );
    // The pod is what its tokens are bound to; one of a node that does not exist would be collected as garbage.
    await client.create(kinds.Node, { metadata: { name: 'far' }, spec: {} } as never);
    const deployment = await client.get<KubeObject>(kinds.Deployment, 'weir', 'weir-controller');
    const { template } = deployment.spec as { template: { spec: object } };
    const pod = await client.create<KubeObject & { spec: { containers: never[] } }>(kinds.Pod, {
      metadata: { name: this.pod, namespace: 'weir' },
      spec: { ...template.spec, nodeName: 'far' },
    } as never);
    const folder = join(dir, 'far');
    mkdirSync(folder, { recursive: true });
    const tokens = new PodTokens(client, pod);
    const identity = join(folder, 'token-identity');
    writeFileSync(identity, await tokens.get(IDENTITY_AUDIENCE), { mode: 0o600 });
    const trust = join(folder, 'ca.pem');
    cpSync(env.WEIR_TRUST!, trust);
    this.#controller = new SupervisedChild({
      name: 'far',
      command: 'setpriv',
      argv: ['--pdeathsig', 'KILL', '--', 'ip', 'netns', 'exec', this.#name, ...read('cmdline')],
      env: {
        ...env,
        KUBECONFIG: await writeCredentials(folder, pod, tokens, await readAccess(kubeconfig)),
        POD_NAME: this.pod,
        POD_IP: FAR,
        WEIR_TRUST: trust,
        WEIR_TOKEN: identity,
      },
      logFile: join(dir, 'logs', 'far.log'),
      log: silentLogger,
      onStart: () => this.starts.push(Date.now()),
    });
    this.#controller.start();
  }

  /** The near end goes down: what is sent is lost, nothing is refused, no connection is closed. */
  cut(): void {
    ip('link', 'set', 'far0', 'down');
  }

  mend(): void {
    ip('link', 'set', 'far0', 'up');
  }

  async stop(): Promise<void> {
    await this.#controller?.stop(2000);
    await this.#cluster.client.delete(kinds.Pod, 'weir', this.pod, { gracePeriodSeconds: 0 }).catch(() => {});
    ip('netns', 'delete', this.#name);
  }
}
