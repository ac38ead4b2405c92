import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { kinds } from '../api/kinds.ts';
import { connect } from '../kube/index.ts';
import type { KubeClient } from '../kube/types.ts';
import { aborted } from '../lib/aborted.ts';
import { systemClock } from '../lib/clock.ts';
import { AppError, toAppError } from '../lib/errors.ts';
import { findEntries } from '../local/node/entry.ts';
import { type LocalCluster, startLocalCluster } from '../local/supervisor/index.ts';
import { listenersOf, processesOf, stillOpen } from './demo/leftovers.ts';
import { type LoadReport, Observer } from './demo/observe.ts';
import { ShopRepository } from './demo/shop.ts';
import { chapters, type Outcome, play, ready, tell } from './demo/story.ts';
import { LiveView, PlainView } from './demo/view.ts';
import { until } from './install/until.ts';

export interface DemoReport {
  firstRequestSeconds: number;
  readySeconds: number;
  totalSeconds: number;
  leftoverProcesses: number;
  leftoverPorts: number;
  outcomes: Outcome[];
}

export function command(): Command {
  return new Command('demo')
    .summary('the whole story on this machine: a commit goes live by itself, a bad one is stopped')
    .description(
      'Starts a cluster on this machine (no Docker, no root), installs Weir, follows a Git repository with a small shop under load, and commits: a good version, a bad one, and one that goes live all at once.',
    )
    .option('--exit', 'end after the story; exit code 0 only if every outcome was the expected one')
    .option('--json', 'one JSON object on stdout at the end, everything else on stderr')
    .addHelpText(
      'after',
      '\nExit codes: 0 every outcome was the expected one, 1 it was not, 130 interrupted.\nWithout a terminal the demo behaves as with --exit.\n\nExamples:\n  weir demo                 and then change the shop yourself\n  weir demo --exit --json   for a program: what came of each commit, and how long it took',
    )
    .action(async (flags: { exit?: boolean; json?: boolean }) => {
      const stay = process.stdout.isTTY === true && !flags.exit;
      const stop = new AbortController();
      const onSignal = () => stop.abort();
      process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
      try {
        const { report, finished } = await demo({ stay, json: flags.json === true }, stop.signal);
        if (flags.json) process.stdout.write(`${JSON.stringify(report)}\n`);
        const clean = report.leftoverProcesses === 0 && report.leftoverPorts === 0;
        process.exitCode = !finished ? 130 : clean && report.outcomes.every(asExpected) ? 0 : 1;
      } finally {
        process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
      }
    });
}

const asExpected = ({ actual, expected }: Outcome): boolean => actual === expected;

async function demo(
  { stay, json }: { stay: boolean; json: boolean },
  signal: AbortSignal,
): Promise<{ report: DemoReport; finished: boolean }> {
  const start = performance.now();
  const seconds = () => Math.round((performance.now() - start) / 10) / 100;
  const out = json ? process.stderr : process.stdout;
  const view =
    out.isTTY && process.env.TERM !== 'dumb'
      ? new LiveView(out)
      : new PlainView((line) => out.write(`${line}\n`));
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'weir-demo-')));
  const report: DemoReport = {
    firstRequestSeconds: Number.NaN,
    readySeconds: Number.NaN,
    totalSeconds: Number.NaN,
    leftoverProcesses: 0,
    leftoverPorts: 0,
    outcomes: [],
  };
  let finished = false;
  let cluster: LocalCluster | undefined;
  const watching = new AbortController();
  let watched: Promise<void> = Promise.resolve();
  try {
    view.say('Starting a cluster on this machine …');
    let prepared: ReturnType<typeof prepare> | undefined;
    const onStarted = () => {
      prepared = prepare(directory);
      prepared.catch(() => {});
    };
    cluster = await startLocalCluster({ dir: join(directory, 'cluster'), quiet: true, signal, onStarted });
    const { shop, install } = await prepared!;
    const { kubeconfig } = cluster;
    const client = await connect({ kubeconfig });
    cluster.add({ name: 'gitops', args: ['gitops', '--repo', shop.directory, '--name', 'demo'] });
    view.say(`Installing Weir … Look around meanwhile:\n  export KUBECONFIG=${kubeconfig}`);
    await install(client, signal);
    shop.openShop();

    const observer = new Observer(client);
    let now = 'The shop opens.';
    watched = watch(observer, view, () => now, AbortSignal.any([signal, watching.signal]));
    await until(
      'the first request through the mesh',
      AbortSignal.any([signal, AbortSignal.timeout(60_000)]),
      async () => (((await observer.load(signal))?.ok ?? 0) > 0 ? undefined : 'no request was answered yet'),
    );
    report.firstRequestSeconds = seconds();
    view.say(`First request through the mesh after ${report.firstRequestSeconds} s.`);
    now = 'Waiting until every gate holds …';
    await until(
      'the shop to be healthy and gated',
      AbortSignal.any([signal, AbortSignal.timeout(60_000)]),
      async () =>
        ready(await observer.rollouts(signal)) ? undefined : describePhases(await observer.rollouts(signal)),
    );
    report.readySeconds = seconds();

    for (const chapter of chapters) {
      now = chapter.telling;
      view.tell(chapter.telling);
      const outcome = await play(chapter, shop, observer, signal);
      report.outcomes.push(outcome);
      view.say(`${asExpected(outcome) ? 'ok' : 'UNEXPECTED'}: ${tell(outcome, chapter)}`);
    }
    finished = true;
    report.totalSeconds = seconds();
    view.say(`\nThe whole story took ${Math.round(report.totalSeconds)} s.`);
    if (stay) {
      now = 'Yours to play with: change the files and commit. Ctrl-C ends it.';
      view.say(
        `  cd ${shop.directory}\n  export KUBECONFIG=${kubeconfig}\n  kubectl get rollouts -n shop -w`,
      );
      await aborted(signal);
    }
  } catch (thrown) {
    if (!signal.aborted)
      throw new AppError('Internal', `the demo could not go on: ${toAppError(thrown).message}`, {
        cause: thrown,
      });
  } finally {
    watching.abort();
    await watched;
    view.end();
    const listening = listenersOf(processesOf(directory));
    await cluster?.stop();
    report.leftoverProcesses = processesOf(directory).length;
    report.leftoverPorts = stillOpen(listening).length;
    rmSync(directory, { recursive: true, force: true, maxRetries: 3 });
  }
  return { report, finished };
}

const describePhases = (rollouts: Awaited<ReturnType<Observer['rollouts']>>): string =>
  rollouts
    .map(
      ({ metadata, status }) =>
        `${metadata.name} is ${status?.phase ?? 'new'}${status?.message ? ` (${status.message})` : ''}`,
    )
    .join(', ') || 'no Rollout was applied yet';

/** The repository of the shop with a namespace alone, and Weir's manifests. */
async function prepare(directory: string): Promise<{
  shop: ShopRepository;
  install(client: KubeClient, signal: AbortSignal): Promise<void>;
}> {
  // Not with the rest of this module: the API server is not to wait until the schemas of the manifests are made.
  const [{ applyManifests, meshReady }, { generateManifests }] = await Promise.all([
    import('./install/apply.ts'),
    import('./install/manifests.ts'),
  ]);
  const manifests = generateManifests({ profile: 'local' });
  const shop = new ShopRepository(join(directory, 'shop'), join(findEntries().root, 'examples/shop'));
  shop.begin();
  return {
    shop,
    async install(client, signal) {
      await applyManifests(client, manifests, { signal });
      const deadline = AbortSignal.any([signal, AbortSignal.timeout(60_000)]);
      // The injector must answer before the shop's pods are made; the rest of Weir may still be starting.
      await meshReady(client, deadline);
      await until('the GitOps agent to apply its first commit', deadline, async () =>
        (await client.find(kinds.Namespace, undefined, 'shop', deadline)) ? undefined : 'no namespace yet',
      );
    },
  };
}

/** Keeps the view current until stopped. */
async function watch(
  observer: Observer,
  view: LiveView | PlainView,
  now: () => string,
  signal: AbortSignal,
): Promise<void> {
  let before: { at: number; load: LoadReport } | undefined;
  let rps: number | undefined;
  while (!signal.aborted) {
    try {
      const [rollouts, load] = await Promise.all([observer.rollouts(signal), observer.load(signal)]);
      const at = performance.now();
      if (load && before && at - before.at >= 1000) {
        rps = ((load.sent - before.load.sent) / (at - before.at)) * 1000;
        before = { at, load };
      } else if (load && !before) before = { at, load };
      view.show({ rollouts, load, rps, now: now() });
      await systemClock.sleep(250, signal);
    } catch {
      await systemClock.sleep(250, signal).catch(() => {});
    }
  }
}
