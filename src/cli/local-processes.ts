import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { runProcess } from '../controller/process.ts';
import { systemClock } from '../lib/clock.ts';
import { followSupervisor } from '../local/supervisor/follow.ts';

interface ProcessOptions {
  dir: string;
  prefix: string;
}

/** The kubeconfigs in the state directory, and whom each of them is for. */
const USERS = {
  'kubeconfig.controller-manager': 'system:kube-controller-manager',
  'kubeconfig.node': 'system:node:local',
  kubeconfig: 'admin',
} as const;

/** A component's kubeconfig; waits until the API server has written it, since all of them start at once. */
async function kubeconfigOf(dir: string, name: keyof typeof USERS, signal: AbortSignal): Promise<string> {
  const file = join(dir, name);
  while (!existsSync(file)) await systemClock.sleep(10, signal);
  return file;
}

/** What the supervisor starts, one process each: a process loads its own component alone. */
export function processCommands(): Command[] {
  const process = (name: string, description: string) =>
    new Command(name)
      .description(description)
      .requiredOption('--dir <dir>', 'state directory of the cluster')
      .requiredOption('--prefix <octets>', 'first two octets of its addresses');

  const apiserver = process('apiserver', 'the API server')
    .option('--port <port>', 'where it listens', '6443')
    .action(({ dir, prefix, port }: ProcessOptions & { port: string }) => {
      followSupervisor();
      return runProcess('apiserver', async (signal, log) => {
        const [{ startApiServer }, { writeIfChanged }] = await Promise.all([
          import('../local/apiserver/index.ts'),
          import('../local/node/volumes.ts'),
        ]);
        const server = await startApiServer({
          dir,
          host: `${prefix}.0.1`,
          port: Number(port),
          serviceCidr: `${prefix}.240.0/20`,
          log,
        });
        // The others wait for these files, so they come last.
        for (const [file, user] of Object.entries(USERS)) {
          writeIfChanged(join(dir, file), JSON.stringify(server.kubeconfigFor(user), null, 2), 0o600);
        }
        if (!signal.aborted) await once(signal, 'abort');
        await server.stop();
      });
    });

  const workloads = process(
    'workloads',
    'Deployment, ReplicaSet, EndpointSlice and garbage collection',
  ).action(({ dir }: ProcessOptions) => {
    followSupervisor();
    return runProcess('workloads', async (signal, log) => {
      const [{ connect }, { runWorkloads }] = await Promise.all([
        import('../kube/index.ts'),
        import('../local/workloads/index.ts'),
      ]);
      const kubeconfig = await kubeconfigOf(dir, 'kubeconfig.controller-manager', signal);
      await runWorkloads({ client: await connect({ kubeconfig }), log, signal });
    });
  });

  const node = process('node', 'runs pods as processes').action(({ dir, prefix }: ProcessOptions) => {
    followSupervisor();
    return runProcess('node', async (signal, log) => {
      const [{ connect }, { NodeAgent }] = await Promise.all([
        import('../kube/index.ts'),
        import('../local/node/index.ts'),
      ]);
      const kubeconfig = await kubeconfigOf(dir, 'kubeconfig.node', signal);
      await new NodeAgent({ client: await connect({ kubeconfig }), kubeconfig, dir, prefix, log }).run(
        signal,
      );
    });
  });

  const exec = new Command('exec')
    .description('runs another weir command that ends with its supervisor')
    .argument('<command...>')
    .allowUnknownOption()
    .allowExcessArguments()
    .helpOption(false)
    .action(async () => {
      followSupervisor();
      const { argv, env } = globalThis.process;
      // A component belongs to the cluster it was added to, whatever the person's own KUBECONFIG says.
      if (env.WEIR_LOCAL_DIR) env.KUBECONFIG = join(env.WEIR_LOCAL_DIR, 'kubeconfig');
      const { main } = await import('./program.ts');
      await main(argv.slice(argv.indexOf('exec') + 1));
    });

  return [apiserver, workloads, node, exec];
}
