import { spawn } from 'node:child_process';
import { mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { AppError } from '../lib/errors.ts';
import { findEntries } from '../local/node/index.ts';
import {
  defaultDir,
  isRunning,
  leftBehind,
  readState,
  removeState,
  startLocalCluster,
  stopCluster,
} from '../local/supervisor/index.ts';
import { processCommands } from './local-processes.ts';
import { progress } from './render/progress.ts';

interface Where {
  name: string;
  dir?: string;
}

/** It is a folder's, and stands in the commands that are shown. */
function clusterName(text: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(text)) return text;
  throw new InvalidArgumentError('Write letters, digits, dots and dashes.');
}

/** The flags that say which cluster, as they have to be given again. */
const same = ({ name, dir }: Where): string =>
  dir ? ` --dir ${dir}` : name === 'default' ? '' : ` --name ${name}`;

/** As it was called. */
const weir = (): string => (process.env.npm_command === 'exec' ? 'npx weir' : 'weir');

const dirOf = ({ name, dir }: Where): string => dir ?? defaultDir(name);

/** `weir local`: the cluster on this machine. */
export function command(): Command {
  const local = new Command('local')
    .description('A Kubernetes-compatible cluster on this machine, without Docker or root.')
    .addHelpText(
      'after',
      '\nExamples:\n  weir local up\n  export KUBECONFIG=~/.weir/local/default/kubeconfig\n  kubectl get nodes\n  weir local down',
    );
  const where = (sub: Command) =>
    sub
      .option('--name <name>', 'which cluster', clusterName, 'default')
      .option('--dir <dir>', 'state directory (default: ~/.weir/local/<name>, or $WEIR_HOME/<name>)');
  where(local.command('up'))
    .description('start it, install Weir in it, and return when it is ready')
    .option('--foreground', 'stay, and stop the cluster on Ctrl-C')
    .option('--bare', 'without Weir: the API server, the workload controllers and the node only')
    .addHelpText(
      'after',
      '\nExamples:\n  weir local up\n  weir local up --name second --foreground\n  weir local up --bare --dir ./bare',
    )
    .action((options: Where & { foreground?: boolean; bare?: boolean }) =>
      options.foreground ? foreground(options) : background(options),
    );
  where(local.command('down'))
    .description('stop every process of it; what it stored stays unless told otherwise')
    .option('--delete', 'remove its data too')
    .addHelpText('after', '\nExamples:\n  weir local down\n  weir local down --name second --delete')
    .action(down);
  where(local.command('status'))
    .description('is it running, and where')
    .addOption(new Option('-o, --output <format>', 'output').choices(['text', 'json']).default('text'))
    .addHelpText('after', '\nExamples:\n  weir local status\n  weir local status -o json')
    .action(status);
  for (const sub of processCommands()) local.addCommand(sub, { hidden: true });
  return local;
}

function announce({ name, ...options }: Where & { bare?: boolean }, is = 'is ready'): void {
  const dir = dirOf({ name, ...options });
  const state = readState(dir);
  const shop = join(findEntries().root, 'examples/shop');
  const next = options.bare ? 'kubectl get nodes' : `kubectl apply -f ${shop}\n  ${weir()} rollouts list -A`;
  process.stdout.write(
    `The local cluster ${is} at ${state?.server}.\n\n  export KUBECONFIG=${join(dir, 'kubeconfig')}\n  ${next}\n\nStop it with \`${weir()} local down${same({ name, ...options })}\`.\n`,
  );
}

async function foreground(options: Where & { bare?: boolean }): Promise<void> {
  const dir = dirOf(options);
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => stop.abort());
  const cluster = await startLocalCluster({ dir, signal: stop.signal });
  try {
    if (!options.bare) await install(cluster.kubeconfig);
    if (process.send) process.send('ready');
    else announce(options);
    if (process.connected) process.disconnect();
    if (!stop.signal.aborted) {
      await new Promise((resolve) => stop.signal.addEventListener('abort', resolve, { once: true }));
    }
  } finally {
    await cluster.stop();
  }
  process.exit(0);
}

async function install(kubeconfig: string): Promise<void> {
  const [{ connect }, { installWeir }] = await Promise.all([
    import('../kube/index.ts'),
    import('./install/apply.ts'),
  ]);
  await installWeir(await connect({ kubeconfig }), { profile: 'local' });
}

/** The supervisor is a process of its own that outlives this one; it says over IPC when it is ready. */
async function background(options: Where & { bare?: boolean }): Promise<void> {
  const dir = dirOf(options);
  if (isRunning(dir)) return announce(options, 'was running already,');
  mkdirSync(join(dir, 'logs'), { recursive: true, mode: 0o700 });
  const logFile = join(dir, 'logs', 'supervisor.log');
  const output = openSync(logFile, 'a');
  const args = [
    findEntries().main,
    'local',
    'up',
    '--foreground',
    '--dir',
    dir,
    ...(options.bare ? ['--bare'] : []),
  ];
  const shown = progress();
  shown.step(
    options.bare
      ? 'starting a cluster on this machine'
      : 'starting a cluster on this machine and installing Weir',
  );
  const child = spawn(process.execPath, args, { detached: true, stdio: ['ignore', output, output, 'ipc'] });
  await new Promise<void>((resolve, reject) => {
    child.once('message', () => resolve());
    child.once('error', reject);
    child.once('exit', (code) =>
      reject(
        new AppError(
          'Unavailable',
          `the local cluster ended with ${code ?? 'a signal'} before it was ready: see ${logFile}`,
        ),
      ),
    );
  });
  if (child.connected) child.disconnect();
  child.unref();
  shown.done();
  announce(options);
}

async function down(options: Where & { delete?: boolean }): Promise<void> {
  const dir = dirOf(options);
  const was = await stopCluster(dir);
  if (options.delete) removeState(dir);
  process.stdout.write(was ? 'The local cluster is stopped.\n' : 'No local cluster was running.\n');
}

function status(options: Where & { output?: string }): void {
  const dir = dirOf(options);
  const state = readState(dir);
  const running = isRunning(dir);
  const processes = leftBehind(dir).length;
  if (options.output === 'json') {
    process.stdout.write(
      `${JSON.stringify({ running, dir, server: state?.server, kubeconfig: state?.kubeconfig, processes })}\n`,
    );
  } else if (running) {
    process.stdout.write(
      `running at ${state?.server} with ${processes} processes\nkubeconfig ${state?.kubeconfig}\n`,
    );
  } else process.stdout.write(`not running: start it with \`${weir()} local up${same(options)}\`\n`);
  process.exitCode = running ? 0 : 1;
}
