import { Command, Option } from 'commander';
import { stringify } from 'yaml';
import { kinds } from '../api/kinds.ts';
import type { Rollout } from '../api/rollout.ts';
import { type Chosen, connect } from '../kube/index.ts';
import { duration } from './arguments.ts';
import { contextOption, kubeconfigOption } from './cluster-flags.ts';
import { act, findRollout, type Verb } from './rollouts/actions.ts';
import { lintFiles } from './rollouts/lint.ts';
import { historyTable, rolloutCard, rolloutTable, whyText } from './rollouts/view.ts';
import { watchRollout } from './rollouts/watch.ts';

interface Options extends Chosen {
  namespace?: string;
  output?: string;
}

const print = (text: string) => process.stdout.write(text);

function printed(value: unknown, output: string | undefined, table: () => string): void {
  if (output === 'json') print(`${JSON.stringify(value, null, 2)}\n`);
  else if (output === 'yaml') print(stringify(value));
  else print(table());
}

/** The cluster, and the namespace that is meant: the flag's, else that of the kubeconfig's context, as with kubectl. */
async function reached({ kubeconfig, context, namespace }: Options) {
  const client = await connect({ kubeconfig, context });
  return { client, namespace: namespace ?? client.namespace };
}

async function get(name: string, options: Options) {
  const { client, namespace } = await reached(options);
  return findRollout(client, namespace, name);
}

const noRollouts = (namespace: string | undefined): string =>
  namespace === undefined
    ? 'No Rollouts in any namespace; start from examples/rollouts/.\n'
    : `No Rollouts in namespace ${namespace}; look in all with -A, or start from examples/rollouts/.\n`;

const output = (rest: string) =>
  new Option('-o, --output <format>', 'output').choices([rest, 'json', 'yaml']).default(rest);

const VERBS: Record<Verb, string> = {
  approve: 'approve the revision that waits for approval',
  promote: 'end the current step now and go to the next one',
  pause: 'hold the running rollout where it is',
  resume: 'let a paused rollout go on',
  abort: 'roll back now',
  retry: 'try a failed revision again',
};

/** What follows `weir rollouts` on the lines of a subcommand's examples. */
const EXAMPLES = {
  list: ['list -n shop', 'list -A -o json'],
  get: ['get web -n shop', 'get web -n shop -o yaml'],
  watch: ['watch web -n shop', 'watch web -n shop --timeout 15m --tag v2 || echo not promoted'],
  approve: ['approve web -n shop'],
  promote: [
    'promote web -n shop          the next step, now',
    'promote web -n shop --full   all of it, unproven',
  ],
  pause: ['pause web -n shop'],
  resume: ['resume web -n shop'],
  abort: ['abort web -n shop'],
  retry: ['retry web -n shop'],
  history: ['history web -n shop', 'history web -n shop -o json'],
  why: ['why web -n shop'],
};

const examples = (name: keyof typeof EXAMPLES): string => {
  const lines = EXAMPLES[name].map((line) => `  weir rollouts ${line}`);
  return `\n${lines.length > 1 ? 'Examples' : 'Example'}:\n${lines.join('\n')}`;
};

const EXIT_CODES = `
Exit codes:
  0    promoted: the rollout is at rest and healthy
  1    an error
  2    wrong usage
  3    rolled back
  4    held: still running or waiting when --timeout was over
  130  interrupted (Ctrl-C)`;

export function command(): Command {
  const root = new Command('rollouts').description('Look at rollouts and steer them.');
  const sub = (name: string, description: string) =>
    root
      .command(name)
      .description(description)
      .option('-n, --namespace <namespace>', "of the Rollout; default: that of the kubeconfig's context")
      .addOption(kubeconfigOption())
      .addOption(contextOption());

  sub('list', 'every Rollout in one table')
    .option('-A, --all-namespaces', 'all namespaces')
    .addOption(output('table'))
    .addHelpText('after', examples('list'))
    .action(async (options: Options & { allNamespaces?: boolean }) => {
      const { client, namespace } = await reached(options);
      const { items } = await client.list<Rollout>(
        kinds.Rollout,
        options.allNamespaces ? undefined : namespace,
      );
      printed(items, options.output, () =>
        items.length === 0
          ? noRollouts(options.allNamespaces ? undefined : namespace)
          : rolloutTable(items, Date.now()),
      );
    });

  sub('get <name>', 'one Rollout: weights, metrics, conditions, last decision')
    .addOption(output('card'))
    .addHelpText('after', examples('get'))
    .action(async (name: string, options: Options) => {
      const rollout = await get(name, options);
      printed(rollout, options.output, () => rolloutCard(rollout, Date.now()));
    });

  sub('watch <name>', 'follow a rollout live')
    .option('--timeout <duration>', 'end when the run has ended, or after this long (30s, 15m)', duration)
    .option('--tag <tag>', 'only this image tag counts as promoted (with --timeout)')
    .addHelpText('after', `${EXIT_CODES}\n${examples('watch')}`)
    .action(async (name: string, options: Options & { timeout?: number; tag?: string }) => {
      const { client, namespace } = await reached(options);
      const interrupted = new AbortController();
      process.once('SIGINT', () => interrupted.abort());
      process.exitCode = await watchRollout({
        client,
        namespace,
        name,
        timeout: options.timeout,
        tag: options.tag,
        stream: process.stdout,
        signal: interrupted.signal,
      });
    });

  for (const [verb, description] of Object.entries(VERBS) as [Verb, string][]) {
    const made = sub(`${verb} <name>`, description).addHelpText('after', examples(verb));
    if (verb === 'promote')
      made.option('--full', 'all the way to 100 %, without further analysis; recorded as unproven');
    made.action(async (name: string, options: Options & { full?: boolean }) => {
      const { client, namespace } = await reached(options);
      print(await act(client, namespace, name, verb, options.full));
    });
  }

  sub('history <name>', 'the last 20 transitions: when, why, who')
    .addOption(output('table'))
    .addHelpText('after', examples('history'))
    .action(async (name: string, options: Options) => {
      const rollout = await get(name, options);
      printed(rollout.status?.history ?? [], options.output, () => historyTable(rollout));
    });

  sub('why <name>', 'value, threshold, samples and query behind the last decision')
    .addHelpText('after', examples('why'))
    .action(async (name: string, options: Options) => {
      print(whyText(await get(name, options), Date.now()));
    });

  root
    .command('lint')
    .description('check Rollouts, MetricTemplates, TrafficPolicies and TrafficSplits without a cluster')
    .requiredOption('-f, --filename <file...>', 'YAML files; - reads standard input')
    .addHelpText(
      'after',
      '\nExamples:\n  weir rollouts lint -f examples/rollouts/canary-steps.yaml\n  kustomize build . | weir rollouts lint -f -',
    )
    .action(({ filename }: { filename: string[] }) => {
      if (lintFiles(filename, print) > 0) process.exitCode = 1;
    });

  root.addHelpText(
    'after',
    '\nExamples:\n  weir rollouts list -A\n  weir rollouts watch web -n shop\n  weir rollouts promote web -n shop --full',
  );
  return root;
}
