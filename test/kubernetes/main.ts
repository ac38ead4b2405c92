// Weir on a real control plane: `test` runs the scenarios, `up` leaves a cluster running for a person to play with.
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { startKubernetes } from './support/cluster.ts';
import { createNamespace, deleteNamespace, runInside } from './support/netns.ts';
import { beforePolicies, buildTools, chooseKubernetes, whyNot } from './support/tools.ts';

const JEST = [
  '--experimental-vm-modules',
  '--disable-warning=ExperimentalWarning',
  'node_modules/jest/bin/jest.js',
];
/** Each file may have a control plane of its own: two of those are what two cores carry. */
const WORKERS = '--maxWorkers=2';
/** What an older API server is for: the gate by webhooks, and what leans on it. */
const FALLBACK = [
  '--testPathPatterns',
  'kubernetes/(gate-webhooks|by-hand|third-party)\\.test|e2e/gate\\.test',
];
/** Last, because it takes every word that follows for a project. */
const PROJECT = ['--selectProjects', 'kubernetes'];

/** Runs this file again, or jest, in a network namespace that goes when it ends. */
async function inside(args: string[], env: NodeJS.ProcessEnv = {}): Promise<number> {
  const namespace = `weir-${process.pid}`;
  createNamespace(namespace);
  try {
    const all = { ...process.env, ...env, WEIR_NETNS: namespace };
    return (await runInside(namespace, process.execPath, args, { env: all })).code;
  } finally {
    deleteNamespace(namespace);
  }
}

async function up(bare: boolean): Promise<void> {
  const dir = join(realpathSync('.'), '.kubernetes');
  mkdirSync(dir, { recursive: true });
  const started = Date.now();
  const cluster = await startKubernetes({ dir, weir: !bare });
  const enter = `ip netns exec ${process.env.WEIR_NETNS}`;
  const first = bare
    ? `  ${enter} npx weir check --pre
  ${enter} npx weir install --image weir --interception explicit | ${enter} kubectl apply --server-side -f -
  ${enter} kubectl -n weir rollout status deployment --timeout 2m
  ${enter} npx weir check
`
    : `  ${enter} kubectl get pods -A\n`;
  process.stdout.write(
    `A real API server${bare ? '' : ' with Weir in it'} is up after ${((Date.now() - started) / 1000).toFixed(1)} s. Ctrl-C stops it.\n\n` +
      `  export KUBECONFIG=${cluster.kubeconfig}\n${first}` +
      `  ${enter} kubectl apply -f examples/shop\n` +
      `  ${enter} npx weir rollouts watch web -n shop\n\nA test file on it:\n\n` +
      `  export WEIR_E2E_CLUSTER=kubernetes WEIR_E2E_DIR=${cluster.dir} WEIR_E2E_KUBECONFIG=${cluster.kubeconfig}\n` +
      `  ${enter} npm run jest -- test/e2e/gate.test.ts --selectProjects kubernetes\n`,
  );
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  await once(stop.signal, 'abort');
  await cluster.stop();
}

/** Takes `--kubernetes VERSION` out of the arguments and heeds it. */
function chosenVersion(args: string[]): string[] {
  const at = args.indexOf('--kubernetes');
  if (at < 0) return args;
  process.stdout.write(`Kubernetes ${chooseKubernetes(args[at + 1] ?? '')}\n`);
  return args.toSpliced(at, 2);
}

async function main(given: string[]): Promise<number> {
  const [command = 'test', ...rest] = chosenVersion(given);
  const why = whyNot();
  if (why) {
    process.stderr.write(`the tests on a real Kubernetes API server cannot run here: ${why}\n`);
    return 1;
  }
  switch (command) {
    case 'build':
      await buildTools();
      return 0;
    case 'test': {
      await buildTools();
      const what = rest.length === 0 && beforePolicies() ? FALLBACK : rest;
      return inside([...JEST, WORKERS, ...what, ...PROJECT], { WEIR_E2E_CLUSTER: 'kubernetes' });
    }
    case 'up':
      if (process.env.WEIR_NETNS) {
        await up(rest.includes('--bare'));
        return 0;
      }
      await buildTools();
      if (spawnSync('npm', ['run', 'build'], { stdio: ['ignore', 'ignore', 'inherit'] }).status !== 0)
        return 1;
      return inside([import.meta.filename, 'up', ...rest]);
    default:
      process.stderr.write(
        'usage: node test/kubernetes/main.ts [--kubernetes VERSION] build | test [jest options] | up\n',
      );
      return 2;
  }
}

process.exitCode = await main(process.argv.slice(2));
