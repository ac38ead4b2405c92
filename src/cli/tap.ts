import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { Command, Option } from 'commander';
import { type Chosen, connect } from '../kube/index.ts';
import { AppError } from '../lib/errors.ts';
import type { AccessRecord } from '../mesh/proxy/access-log/line.ts';
import { parseFilter } from '../mesh/proxy/tap/filter.ts';
import { checked, count } from './arguments.ts';
import { contextOption, kubeconfigOption } from './cluster-flags.ts';
import { follow } from './tap/follow.ts';
import { type Reached, reach } from './tap/reach.ts';
import { parseTarget, type Tapped, type Target } from './tap/target.ts';
import { header, line, type Seen } from './tap/view.ts';

interface Flags extends Chosen {
  namespace?: string;
  to?: string;
  path?: string;
  method?: string;
  authority?: string;
  status?: string;
  direction?: string;
  revision?: string;
  maxRps: string;
  count?: number;
  output: 'table' | 'wide' | 'json';
}

export function command(): Command {
  return new Command('tap')
    .summary('requests of a workload as they happen')
    .description(
      'Shows live what passes the proxies of a workload: method, authority, path, status, time, upstream. No headers, no bodies, no queries.\nOf a Deployment also the pods that start meanwhile.\nOn a cluster it goes through kubectl port-forward: whoever may do that to the pods may look.',
    )
    .argument('<target>', 'deploy/NAME or pod/NAME', checked(parseTarget))
    .option('-n, --namespace <name>', "default: that of the kubeconfig's context")
    .option('--to <destination>', 'sent to this destination, such as orders.shop')
    .option('--path <prefix>', 'whose path begins so')
    .option('--method <method>', 'with this method')
    .option('--authority <authority>', 'to this authority')
    .option('--status <status>', 'answered so: 404, or a class such as 5xx', filter('status'))
    .addOption(new Option('--direction <direction>', 'only one').choices(['inbound', 'outbound']))
    .option('--revision <hash>', 'served by this revision (pod-template-hash)')
    .option('--max-rps <number>', 'at most so many a second from each pod', filter('maxRps'), '100')
    .option('-c, --count <number>', 'end after so many requests', count)
    .addOption(
      new Option('-o, --output <format>', 'output').choices(['table', 'wide', 'json']).default('table'),
    )
    .addOption(kubeconfigOption())
    .addOption(contextOption())
    .addHelpText(
      'after',
      '\nExamples:\n  weir tap deploy/web -n shop\n  weir tap deploy/web -n shop --status 5xx -o wide\n  weir tap deploy/front -n shop --to orders.shop --path /cart -o json',
    )
    .action(run);
}

/** What the proxies would refuse is wrong usage. */
const filter = (name: string) =>
  checked((text) => {
    parseFilter(new URLSearchParams({ [name]: text }));
    return text;
  });

/** The filters as the admin server takes them. */
export function tapQuery(flags: Omit<Flags, 'namespace' | 'output'>): string {
  const { to, path, method, authority, status, direction, revision, maxRps } = flags;
  const given = { to, path, method, authority, status, direction, revision, maxRps };
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(given)) if (value !== undefined) query.set(name, value);
  return query.toString();
}

async function run(target: Target, flags: Flags): Promise<void> {
  const client = await connect({ kubeconfig: flags.kubeconfig, context: flags.context });
  const namespace = flags.namespace ?? client.namespace;
  const stopped = new AbortController();
  // Also when told to end: a kubectl port-forward must not outlive who started it.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(name, () => stopped.abort());
  const view = { wide: flags.output === 'wide' };
  let left = flags.count ?? Number.POSITIVE_INFINITY;
  const show = (seen: Seen) => {
    if (left <= 0) return;
    left -= 1;
    process.stdout.write(flags.output === 'json' ? `${JSON.stringify(seen)}\n` : line(seen, view));
    if (left <= 0) stopped.abort();
  };
  const { signal } = stopped;
  await follow({
    client,
    target,
    namespace,
    signal,
    found: () => {
      if (flags.output !== 'json') process.stdout.write(header(view));
    },
    watch: (proxy) => watch(proxy, { flags, namespace, signal, show }),
    problem: (message) => process.stderr.write(`${message}\n`),
  });
}

interface Watched {
  flags: Flags;
  namespace: string;
  signal: AbortSignal;
  show: (seen: Seen) => void;
}

async function watch(proxy: Tapped, { flags, namespace, signal, show }: Watched): Promise<void> {
  let reached: Reached | undefined;
  try {
    reached = await reach(proxy, { namespace, flags, signal });
    const response = await fetch(`${reached.url}/tap?${tapQuery(flags)}`, { signal });
    if (!response.ok || !response.body) throw refusal(proxy.pod, response.status, await response.text());
    const stream = Readable.fromWeb(response.body as import('node:stream/web').ReadableStream);
    for await (const text of createInterface({ input: stream })) {
      // Empty lines only say that the proxy is there.
      if (text !== '') show({ pod: proxy.pod, ...(JSON.parse(text) as AccessRecord) });
    }
  } catch (thrown) {
    if (signal.aborted) return;
    if (thrown instanceof AppError) throw thrown;
    throw new AppError('Unavailable', `pod ${proxy.pod}: its proxy is gone (${(thrown as Error).message})`, {
      cause: thrown,
    });
  } finally {
    reached?.close();
  }
}

function refusal(pod: string, status: number, text: string): AppError {
  if (status === 400) return new AppError('Invalid', text.trim());
  if (status === 404)
    return new AppError('Unavailable', `the proxy of pod ${pod} is older than taps: restart the workload`);
  return new AppError('Unavailable', `the proxy of pod ${pod} refused: ${text.trim()}`);
}
