import { Command, InvalidArgumentError, Option } from 'commander';
import { askPrometheus } from '../analysis/index.ts';
import { kinds } from '../api/kinds.ts';
import type { KubeObject } from '../api/meta.ts';
import { METRICS_SERVICE, SYSTEM_NAMESPACE } from '../api/names.ts';
import { type Chosen, connect } from '../kube/index.ts';
import type { KubeClient } from '../kube/types.ts';
import { systemClock } from '../lib/clock.ts';
import { AppError } from '../lib/errors.ts';
import { duration, urlText } from './arguments.ts';
import { contextOption, kubeconfigOption } from './cluster-flags.ts';
import {
  buildRows,
  countPods,
  groupLabels,
  type Measured,
  rowKey,
  type StatKind,
  type StatQuery,
  type StatRow,
  type StatScope,
  statQueries,
} from './stat/rows.ts';
import { statTable } from './stat/view.ts';

interface Flags extends Chosen {
  namespace?: string;
  allNamespaces: boolean;
  byRevision: boolean;
  /** Milliseconds. */
  window: number;
  watch: boolean;
  output: 'table' | 'json';
  prometheusUrl?: string;
}

const KINDS: Record<string, StatKind> = {
  deploy: 'deploy',
  deployment: 'deploy',
  deployments: 'deploy',
  svc: 'svc',
  service: 'svc',
  services: 'svc',
  po: 'pod',
  pod: 'pod',
  pods: 'pod',
};

export function command(): Command {
  return new Command('stat')
    .summary('success rate, requests per second and latency by workload and revision')
    .description(
      'Traffic of workloads as their proxies saw it: of deployments and pods what came in, of services what callers in the mesh sent to them.',
    )
    .argument('<kind>', 'deploy, svc or pod; or one of them, as deploy/NAME', subjectOf)
    .argument('[name]', 'only this one')
    .option('-n, --namespace <name>', "default: that of the kubeconfig's context")
    .option('-A, --all-namespaces', 'all namespaces', false)
    .option('--by-revision', 'a row per revision (pod-template-hash)', false)
    .addOption(
      new Option('-w, --window <duration>', 'what rates and latencies cover')
        .argParser(windowOf)
        .default(60_000, '1m'),
    )
    .option('--watch', 'again every two seconds, until Ctrl-C', false)
    .addOption(new Option('-o, --output <format>', 'output').choices(['table', 'json']).default('table'))
    .option('--prometheus-url <url>', "default: the address of Weir's metrics store", urlText)
    .addOption(kubeconfigOption())
    .addOption(contextOption())
    .addHelpText(
      'after',
      '\nExamples:\n  weir stat deploy -n shop\n  weir stat svc web -n shop --by-revision --watch\n  weir stat pod -A -o json',
    )
    .action(run);
}

interface Subject {
  kind: StatKind;
  name: string | undefined;
}

/** `deploy`, or `deploy/web` as with kubectl. */
function subjectOf(text: string): Subject {
  const [word = '', name, ...more] = text.split('/');
  const kind = KINDS[word];
  if (!kind || name === '' || more.length > 0)
    throw new InvalidArgumentError('Ask for deploy, svc or pod, or for one as deploy/NAME.');
  return { kind, name };
}

function windowOf(text: string): number {
  const milliseconds = duration(text);
  if (milliseconds >= 1) return milliseconds;
  throw new InvalidArgumentError('Write more than 0, such as 1m.');
}

async function run(subject: Subject, name: string | undefined, flags: Flags): Promise<void> {
  const client = await connect({ kubeconfig: flags.kubeconfig, context: flags.context });
  const scope: StatScope = {
    kind: subject.kind,
    name: name ?? subject.name,
    namespace: flags.allNamespaces ? undefined : (flags.namespace ?? client.namespace),
    byRevision: flags.byRevision,
    window: `${Math.ceil(flags.window)}ms`,
  };
  const store: Store = flags.prometheusUrl ? { url: flags.prometheusUrl } : await discover(client);
  const stopped = new AbortController();
  if (flags.watch) process.once('SIGINT', () => stopped.abort());
  do {
    const rows = await collect(scope, client, store);
    print(rows, scope, flags);
    if (!flags.watch) break;
    await systemClock.sleep(2000, stopped.signal).catch(() => undefined);
  } while (!stopped.signal.aborted);
}

function print(rows: StatRow[], scope: StatScope, flags: Flags): void {
  if (flags.output === 'json') {
    process.stdout.write(`${JSON.stringify(rows, null, flags.watch ? undefined : 2)}\n`);
    return;
  }
  if (flags.watch && process.stdout.isTTY) process.stdout.write('\u001b[H\u001b[2J');
  if (rows.length === 0) {
    const where = scope.namespace === undefined ? 'any namespace' : `namespace ${scope.namespace}`;
    process.stderr.write(
      `Nothing to show${scope.name === undefined ? '' : ` for ${scope.kind} ${scope.name}`} in ${where}: is anything meshed there? Try -A, or weir check.\n`,
    );
    return;
  }
  process.stdout.write(
    statTable(rows, { namespaces: scope.namespace === undefined, revisions: scope.byRevision }),
  );
}

interface Store {
  url: string;
  /** What else may be done where it cannot be reached. */
  hint?: string;
}

/** The metrics store's own address, which is reachable on the local cluster and from inside any cluster. */
async function discover(client: KubeClient): Promise<Store> {
  const service = await client.find<KubeObject>(kinds.Service, SYSTEM_NAMESPACE, METRICS_SERVICE);
  const spec = service?.spec as { clusterIP?: string; ports?: { port: number }[] } | undefined;
  const address = spec?.clusterIP;
  if (!address || address === 'None') {
    throw new AppError(
      'NotFound',
      `there is no Service ${METRICS_SERVICE} in namespace ${SYSTEM_NAMESPACE}: install Weir, or name your Prometheus with --prometheus-url`,
    );
  }
  const port = spec.ports?.[0]?.port ?? 9090;
  return {
    url: `http://${address.includes(':') ? `[${address}]` : address}:${port}`,
    hint: `. From outside of the cluster run \`kubectl -n ${SYSTEM_NAMESPACE} port-forward svc/${METRICS_SERVICE} ${port}\` and add --prometheus-url http://127.0.0.1:${port}`,
  };
}

async function collect(scope: StatScope, client: KubeClient, { url, hint }: Store): Promise<StatRow[]> {
  const queries = Object.entries(statQueries(scope)) as [StatQuery, string][];
  const [pods, services, ...results] = await Promise.all([
    client.list<KubeObject>(kinds.Pod, scope.namespace),
    scope.kind === 'svc' ? client.list<KubeObject>(kinds.Service, scope.namespace) : { items: [] },
    ...queries.map(
      async ([name, query]) => [name, await measure(url, query, groupLabels(scope), { hint })] as const,
    ),
  ]);
  const measured = Object.fromEntries(results) as Record<StatQuery, Measured>;
  return buildRows(scope, measured, countPods(scope, pods.items, services.items));
}

/** Every row of an instant query, by its labels. `hint` says what else may be done where it cannot be reached. */
export async function measure(
  url: string,
  query: string,
  by: readonly string[],
  { hint = '', signal = AbortSignal.timeout(10_000) }: { hint?: string; signal?: AbortSignal } = {},
): Promise<Measured> {
  const { result } = await askPrometheus({ url }, query, signal).catch((thrown: Error) => {
    throw new AppError('Unavailable', `${thrown.message}${hint}`, { cause: thrown });
  });
  return new Map(
    (result as { metric: { labels: Record<string, string> }; value: { value: number } }[]).map((row) => {
      const [namespace = '', name = '', revision] = by.map((label) => row.metric.labels[label] ?? '');
      return [rowKey(namespace, name, revision), Number(row.value.value)];
    }),
  );
}
