import { Command, InvalidArgumentError, Option } from 'commander';
import { stringify } from 'yaml';
import type { KubeObject } from '../api/meta.ts';
import { SYSTEM_NAMESPACE } from '../api/names.ts';
import { type Chosen, connect } from '../kube/index.ts';
import { toAppError } from '../lib/errors.ts';
import { shareText, urlText } from './arguments.ts';
import { contextOption, kubeconfigOption } from './cluster-flags.ts';
import { admissionOf } from './install/discover.ts';
import { crdManifests, generateManifests } from './install/manifests.ts';
import { installOptions } from './install/options.ts';

interface Flags extends Chosen {
  ha: boolean;
  namespace: string;
  namespaces?: string[];
  image?: string;
  admission: 'auto' | 'policies' | 'webhooks';
  interception: 'transparent' | 'explicit';
  prometheusUrl?: string;
  traceOtlp?: string;
  traceSample?: string;
  crdsOnly: boolean;
}

export function command(): Command {
  return new Command('install')
    .summary('print the manifests of the control plane')
    .description(
      'Prints everything Weir needs on a cluster as YAML: CRDs, access rights, control plane, admission. Nothing is changed: pipe it to kubectl.',
    )
    .option('--ha', 'three replicas, spread over nodes, with disruption budgets', false)
    .option('-n, --namespace <name>', 'where the control plane lives', SYSTEM_NAMESPACE)
    .option(
      '--namespaces <names>',
      'let the controller act and the gate hold in these alone (comma-separated); default: everywhere',
      namespaceList,
    )
    .option('--image <image>', 'image of every component')
    .addOption(
      new Option(
        '--admission <variant>',
        'how the gate is enforced; auto asks the cluster: policies where it serves MutatingAdmissionPolicy v1',
      )
        .choices(['auto', 'policies', 'webhooks'])
        .default('auto'),
    )
    .addOption(
      new Option(
        '--interception <mode>',
        'transparent: pods’ traffic by iptables rules (an init container with NET_ADMIN); explicit: by URLs in env values, without privileges',
      )
        .choices(['transparent', 'explicit'])
        .default('transparent'),
    )
    .option('--prometheus-url <url>', 'judge by this Prometheus and install no metrics store', urlText)
    .option(
      '--trace-otlp <url>',
      'collector that proxies send spans to (OTLP/HTTP); without, no tracing',
      urlText,
    )
    .option('--trace-sample <share>', 'of the traces begun by proxies, 0 to 1 (default: 0.01)', shareText)
    .option('--crds-only', 'only the CustomResourceDefinitions', false)
    .addOption(kubeconfigOption('the cluster that auto asks'))
    .addOption(contextOption())
    .addHelpText(
      'after',
      '\nExamples:\n  weir install | kubectl apply --server-side -f -\n  weir install --ha --prometheus-url http://prometheus.monitoring.svc:9090 > weir.yaml\n  weir install --namespaces shop,payments | kubectl apply --server-side -f -',
    )
    .action(async (flags: Flags) => {
      if (flags.crdsOnly) {
        process.stdout.write(toYaml(crdManifests()));
        return;
      }
      const { admission, why, guessed } = await chooseAdmission(flags);
      const options = installOptions({
        ha: flags.ha,
        namespace: flags.namespace,
        admission,
        interception: flags.interception,
        ...(flags.namespaces ? { namespaces: flags.namespaces } : {}),
        ...(flags.image ? { image: flags.image } : {}),
        ...(flags.traceOtlp ? { traceOtlp: flags.traceOtlp } : {}),
        ...(flags.traceSample ? { traceSample: flags.traceSample } : {}),
        ...(flags.prometheusUrl ? { prometheusUrl: flags.prometheusUrl } : {}),
      });
      const chosen = `${admission}${why ? ` (${why})` : ''}`;
      process.stdout.write(`# Admission: ${chosen}.\n`);
      // Where the YAML goes on to kubectl, nobody reads its comments.
      if (guessed) process.stderr.write(`weir: admission by ${chosen}\n`);
      process.stdout.write(toYaml(generateManifests(options)));
    });
}

/** None would mean all: not what an empty variable of a script was meant for. */
export function namespaceList(text: string): string[] {
  const names = text.split(',').map((name) => name.trim());
  const wrong = names.find((name) => !/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(name));
  if (wrong === undefined) return names;
  throw new InvalidArgumentError(`"${wrong}" is not the name of a namespace; write them as shop,payments.`);
}

export const toYaml = (objects: KubeObject[]): string =>
  objects
    .map((object) => `---\n${stringify(object, { lineWidth: 0, aliasDuplicateObjects: false })}`)
    .join('');

async function chooseAdmission({ admission, kubeconfig, context }: Flags): Promise<{
  admission: 'policies' | 'webhooks';
  why: string;
  guessed?: boolean;
}> {
  if (admission !== 'auto') return { admission, why: '' };
  try {
    return await admissionOf(await connect({ kubeconfig, context }));
  } catch (thrown) {
    // Asked to ask that one: a guess might install the wrong gate.
    if (kubeconfig || context) throw thrown;
    const reason = toAppError(thrown).message.replaceAll(/\s+/g, ' ');
    return {
      admission: 'webhooks',
      guessed: true,
      why: `no cluster to ask: ${reason}; --admission=policies suits Kubernetes 1.36 and newer`,
    };
  }
}
