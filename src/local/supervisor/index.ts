import { existsSync, mkdirSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Client, connect } from '../../kube/index.ts';
import { systemClock } from '../../lib/clock.ts';
import { AppError } from '../../lib/errors.ts';
import { createLogger, type Logger, silentLogger } from '../../lib/log.ts';
import { findEntries } from '../node/index.ts';
import { SupervisedChild } from './child.ts';
import { answers } from './readiness.ts';
import {
  type ClusterState,
  defaultDir,
  identityOf,
  isRunning,
  killLeftBehind,
  readState,
  writeState,
} from './state.ts';
import { takeSubnet } from './subnet.ts';

export { defaultDir, isRunning, leftBehind, readState, removeState, stopCluster } from './state.ts';

/** A process that the supervisor runs next to its own components; `args` are those of the `weir` command. */
export interface ExtraComponent {
  name: string;
  args: string[];
}

export interface LocalClusterOptions {
  /** Which cluster of this user; each has a directory of its own. */
  name?: string;
  /** State directory; overrides `name`. A cluster started again in it continues with what it had. */
  dir?: string;
  quiet?: boolean;
  components?: ExtraComponent[];
  /** How long the API server and the node may take. */
  timeoutMs?: number;
  signal?: AbortSignal;
  /** Called when its processes run: what takes time can be done until they are ready. */
  onStarted?: () => void;
}

export interface LocalCluster {
  dir: string;
  /** Path of the administrator's kubeconfig. */
  kubeconfig: string;
  /** URL of the API server. */
  server: string;
  /** First two octets of all addresses of this cluster. */
  prefix: string;
  /** Starts another supervised component. */
  add(component: ExtraComponent): void;
  /** Kills a component (SIGKILL unless told otherwise); the supervisor starts it again. */
  kill(component: string, signal?: NodeJS.Signals): void;
  /** Pids of the components that run now. */
  pids(): Record<string, number>;
  /** Ends every process of the cluster, pods included. Its data stays in `dir`. */
  stop(): Promise<void>;
}

const API_PORT = 6443;
const GIVE_UP_AFTER = 5;
const NODE_GRACE_MS = 5000;
const COMPONENT_GRACE_MS = 3000;

/** Starts a Kubernetes-compatible cluster on this machine and resolves when its API and its node are ready. */
export async function startLocalCluster(options: LocalClusterOptions = {}): Promise<LocalCluster> {
  const { name, quiet = false, components = [], timeoutMs = 30_000, signal } = options;
  const wanted = options.dir ?? defaultDir(name);
  if (isRunning(wanted)) {
    throw new AppError(
      'AlreadyExists',
      `the cluster in ${wanted} is running already: stop it with \`weir local down\``,
    );
  }
  mkdirSync(join(wanted, 'logs'), { recursive: true, mode: 0o700 });
  const dir = realpathSync(wanted);
  const log = quiet ? silentLogger : createLogger('local');
  await killLeftBehind(dir);
  const subnet = await takeSubnet(readState(dir)?.prefix);
  const host = `${subnet.prefix}.0.1`;
  const kubeconfig = join(dir, 'kubeconfig');
  // Those of an earlier run would let the components ask a server that is not there yet, and back off.
  for (const user of ['', '.node', '.controller-manager']) rmSync(kubeconfig + user, { force: true });
  const state: ClusterState = {
    prefix: subnet.prefix,
    server: `https://${host}:${API_PORT}`,
    kubeconfig,
    supervisor: identityOf(process.pid),
    components: {},
  };
  writeState(dir, state);
  const children = new Map<string, SupervisedChild>();
  const start = (child: string, args: string[]) => {
    const onStart = (pid: number) => {
      state.components[child] = identityOf(pid);
      writeState(dir, state);
    };
    const created = createChild({ name: child, args, dir, log, onStart });
    children.set(child, created);
    created.start();
  };
  const common = ['--dir', dir, '--prefix', subnet.prefix];
  const add = ({ name: extra, args }: ExtraComponent) => start(extra, ['local', 'exec', ...args]);

  let stopping: Promise<void> | undefined;
  const cluster: LocalCluster = {
    dir,
    kubeconfig,
    server: state.server,
    prefix: subnet.prefix,
    add,
    kill: (component, killSignal = 'SIGKILL') => {
      const child = children.get(component);
      if (!child)
        throw new AppError(
          'NotFound',
          `no component ${component}: there are ${[...children.keys()].join(', ')}`,
        );
      child.kill(killSignal);
    },
    pids: () =>
      Object.fromEntries(
        [...children].flatMap(([child, { pid }]) => (pid === undefined ? [] : [[child, pid]])),
      ),
    stop: () => {
      stopping ??= stopAll(children, dir).finally(async () => {
        writeState(dir, { ...state, supervisor: undefined, components: {} });
        await subnet.release();
      });
      return stopping;
    },
  };

  try {
    start('apiserver', ['local', 'apiserver', ...common, '--port', String(API_PORT)]);
    start('workloads', ['local', 'workloads', ...common]);
    start('node', ['local', 'node', ...common]);
    options.onStarted?.();
    await untilReady({ kubeconfig, children, dir, timeoutMs, signal });
    for (const component of components) add(component);
    return cluster;
  } catch (thrown) {
    await cluster.stop();
    throw thrown;
  }
}

function createChild(options: {
  name: string;
  args: string[];
  dir: string;
  log: Logger;
  onStart: (pid: number) => void;
}): SupervisedChild {
  const { name, args, dir, log, onStart } = options;
  const { main } = findEntries();
  const env = {
    // Half of a component's start is compiling its own code; the cache is shared by all clusters.
    NODE_COMPILE_CACHE: join(tmpdir(), `weir-compile-cache-${process.getuid?.() ?? 0}`),
    ...process.env,
    WEIR_LOCAL_DIR: dir,
  };
  const logFile = join(dir, 'logs', `${name}.log`);
  return new SupervisedChild({ name, argv: [main, ...args], env, logFile, log, onStart });
}

async function untilReady(options: {
  kubeconfig: string;
  children: Map<string, SupervisedChild>;
  dir: string;
  timeoutMs: number;
  signal?: AbortSignal;
}): Promise<void> {
  const { kubeconfig, children, dir, timeoutMs, signal } = options;
  const deadline = Date.now() + timeoutMs;
  let client: Client | undefined;
  const ready = async () => {
    if (!existsSync(kubeconfig)) return false;
    client ??= await connect({ kubeconfig, callTimeoutMs: 2000 });
    return answers(client);
  };
  try {
    while (!(await ready())) {
      const broken = [...children.values()].find(({ earlyExits }) => earlyExits >= GIVE_UP_AFTER);
      if (broken) {
        throw new AppError(
          'Unavailable',
          `the ${broken.name} of the local cluster does not start: see ${join(dir, 'logs', `${broken.name}.log`)}`,
        );
      }
      if (Date.now() > deadline) {
        throw new AppError(
          'Timeout',
          `the local cluster was not ready within ${timeoutMs / 1000} s: see the logs in ${join(dir, 'logs')}`,
        );
      }
      await systemClock.sleep(15, signal);
    }
  } finally {
    client?.close();
  }
}

/** Extra components first, then the node with its pods, the API server last; whatever still runs is killed. */
async function stopAll(children: Map<string, SupervisedChild>, dir: string): Promise<void> {
  const stop = (name: string, graceMs: number) => children.get(name)?.stop(graceMs);
  const own = ['node', 'workloads', 'apiserver'];
  const extras = [...children.keys()].filter((name) => !own.includes(name));
  await Promise.all(extras.map((name) => stop(name, COMPONENT_GRACE_MS)));
  await Promise.all([stop('node', NODE_GRACE_MS), stop('workloads', COMPONENT_GRACE_MS)]);
  await stop('apiserver', COMPONENT_GRACE_MS);
  await killLeftBehind(dir);
}
