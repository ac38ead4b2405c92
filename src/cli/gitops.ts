import { Command } from 'commander';
import { runProcess } from '../controller/process.ts';
import { type AgentEvent, runAgent } from '../gitops/index.ts';
import { connect, EventRecorder } from '../kube/index.ts';
import { parseDuration } from '../lib/duration.ts';
import { durationText } from './arguments.ts';
import { given } from './given.ts';

interface Flags {
  repo: string;
  branch: string;
  path: string;
  name: string;
  namespace: string;
  interval: string;
  driftInterval: string;
  healthTimeout: string;
  kubeconfig?: string;
}

export function command(): Command {
  return new Command('gitops')
    .summary('apply a Git repository to the cluster on every commit')
    .description(
      'Applies the manifests of a Git branch by server-side apply on every commit, removes what a commit removed, corrects drift, and says when all is healthy. For the local cluster; on a real one Argo CD or Flux does this.',
    )
    .requiredOption('--repo <dir-or-url>', 'repository to follow')
    .option('--branch <name>', 'branch to follow', 'main')
    .option('--path <folder>', 'folder with the manifests', '.')
    .option('--name <name>', 'name of this agent; keeps its inventory apart from others', 'default')
    .option('-n, --namespace <name>', 'for objects that name none, and for the inventory', 'default')
    .option(
      '--interval <duration>',
      'how often to look; a local directory is noticed at once',
      durationText,
      '1s',
    )
    .option(
      '--drift-interval <duration>',
      'how often to compare the cluster with the commit',
      durationText,
      '30s',
    )
    .option(
      '--health-timeout <duration>',
      'how long a commit may take to become healthy',
      durationText,
      '10m',
    )
    .option('--kubeconfig <file>', 'cluster to apply to')
    .addHelpText(
      'after',
      '\nExamples:\n  weir gitops --repo ~/shop\n  weir gitops --repo https://git.example.com/shop.git --branch main --path deploy --interval 30s',
    )
    .action(async (flags: Flags) => {
      const client = await given(() => connect(flags.kubeconfig ? { kubeconfig: flags.kubeconfig } : {}));
      await runProcess('gitops', async (signal, log) => {
        const events = new EventRecorder({ client, component: 'weir-gitops' });
        await runAgent(
          {
            client,
            repo: flags.repo,
            branch: flags.branch,
            path: flags.path,
            name: flags.name,
            namespace: flags.namespace,
            intervalMs: parseDuration(flags.interval),
            driftMs: parseDuration(flags.driftInterval),
            healthTimeoutMs: parseDuration(flags.healthTimeout),
            log,
            onEvent: (event, inventory) => {
              const line = statusLine(event);
              process.stdout.write(`${line}\n`);
              if (inventory && event.type !== 'source-error') {
                const bad =
                  event.type === 'unhealthy' || (event.type === 'applied' && event.problems.length > 0);
                void events.event(inventory, bad ? 'Warning' : 'Normal', reasonOf(event), line);
              }
            },
          },
          signal,
        );
        await events.drained(1000);
      });
    });
}

const short = (id: string): string => id.slice(0, 8);

/** One line a person can read for each thing that happened; problems follow on lines of their own. */
export function statusLine(event: AgentEvent): string {
  switch (event.type) {
    case 'applied': {
      const { commit, objects, pruned, problems } = event;
      const parts = [`${objects} applied`, ...(pruned > 0 ? [`${pruned} removed`] : [])];
      if (problems.length > 0) parts.push(`${problems.length} with problems`);
      return [
        `${short(commit.id)} "${commit.subject}": ${parts.join(', ')}`,
        ...problems.map(
          ({ source, object, message }) =>
            `  ${source.file} (document ${source.document})${object ? ` ${object}` : ''}: ${message}`,
        ),
      ].join('\n');
    }
    case 'healthy':
      return `${short(event.commit.id)} "${event.commit.subject}": healthy`;
    case 'unhealthy':
      return `${short(event.commit.id)} "${event.commit.subject}": not healthy: ${event.message}`;
    case 'drift':
      return `${short(event.commit.id)}: ${event.corrected} object(s) had drifted and were put back`;
    case 'source-error':
      return `repository: ${event.message}`;
  }
}

const reasonOf = ({ type }: AgentEvent): string =>
  ({
    applied: 'Applied',
    healthy: 'Healthy',
    unhealthy: 'Unhealthy',
    drift: 'DriftCorrected',
    'source-error': 'SourceError',
  })[type];
