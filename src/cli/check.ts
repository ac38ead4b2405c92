import { Command, Option } from 'commander';
import { SYSTEM_NAMESPACE } from '../api/names.ts';
import { type Chosen, connect } from '../kube/index.ts';
import { toAppError } from '../lib/errors.ts';
import { count } from './arguments.ts';
import { clusterChecks, rightsChecks } from './check/cluster.ts';
import { installationChecks, meshChecks, rolloutChecks } from './check/installation.ts';
import { metricsChecks } from './check/metrics.ts';
import { failed, type Result } from './check/model.ts';
import { renderResults, runChecks, succeeded } from './check/run.ts';
import { contextOption, kubeconfigOption } from './cluster-flags.ts';

interface Flags extends Chosen {
  pre: boolean;
  output: 'table' | 'json' | 'short';
  namespace: string;
  timeout: number;
}

export function command(): Command {
  return new Command('check')
    .summary('is this cluster ready for Weir, and is Weir healthy')
    .description(
      'Looks at the cluster and at the installation and says, for everything that is not as it should be, what to do. Nothing is changed: the gate is tried with dry runs.',
    )
    .option('--pre', 'before installation: only what the cluster must offer', false)
    .addOption(
      new Option('-o, --output <format>', 'short prints only what is not ok')
        .choices(['table', 'json', 'short'])
        .default('table'),
    )
    .option('-n, --namespace <name>', 'where the control plane lives', SYSTEM_NAMESPACE)
    .option('--timeout <seconds>', 'for all checks together', count, 30)
    .addOption(kubeconfigOption('cluster to look at'))
    .addOption(contextOption())
    .addHelpText(
      'after',
      '\nExit codes: 0 nothing failed (there may be warnings), 1 a check failed, 2 wrong usage.\n\nExamples:\n  weir check --pre && weir install | kubectl apply --server-side -f -\n  weir check\n  weir check -o short --timeout 60',
    )
    .action(async ({ pre, output, namespace, kubeconfig, context, timeout }: Flags) => {
      const signal = AbortSignal.timeout(timeout * 1000);
      let results: Result[];
      try {
        const client = await connect({ kubeconfig, context });
        const groups = pre
          ? [...clusterChecks, rightsChecks]
          : [...clusterChecks, installationChecks, metricsChecks, rolloutChecks, meshChecks];
        results = await runChecks(groups, { client, namespace, signal });
      } catch (thrown) {
        // What the error says already ends with what to do.
        const answer = failed('does not say which cluster to look at', toAppError(thrown).message);
        results = [{ group: 'Kubernetes', check: 'kubeconfig', ...answer }];
      }
      process.stdout.write(renderResults(results, output));
      process.exitCode = succeeded(results) ? 0 : 1;
    });
}
