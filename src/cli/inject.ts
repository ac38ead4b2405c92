import { text } from 'node:stream/consumers';
import { Command, Option } from 'commander';
import { injectManifests, type ManifestResult } from '../mesh/index.ts';
import { readGiven } from './given.ts';
import { installOptions } from './install/options.ts';

interface Flags {
  namespace: string;
  proxyImage: string;
  sidecar?: 'container' | 'native';
  interception: 'transparent' | 'explicit';
  service: string[];
}

export function command(): Command {
  return new Command('inject')
    .summary('add the sidecar to manifests')
    .description(
      'Adds the proxy to every workload of a YAML stream and prints the result; what was done is said on stderr. The same patch as the webhook’s: labelling the namespace weir.dev/inject=enabled does it without this command.',
    )
    .argument('<file>', 'manifests; - reads stdin')
    .option('-n, --namespace <name>', 'for objects that name none', 'default')
    .option('--proxy-image <image>', 'image of the proxy', installOptions().image)
    .addOption(
      new Option(
        '--sidecar <placement>',
        'beside the application, or as a native sidecar; by default native where interception is transparent',
      ).choices(['container', 'native']),
    )
    .addOption(
      new Option(
        '--interception <mode>',
        'transparent: all TCP, by an init container with NET_ADMIN; explicit: by URLs in env values, without privileges',
      )
        .choices(['transparent', 'explicit'])
        .default('transparent'),
    )
    .option(
      '--service <name>',
      'with explicit interception: a Service (name or name.namespace) that URLs call by its short name; repeatable. Full names (web.shop.svc) need no telling',
      (value: string, all: string[]) => [...all, value],
      [],
    )
    .addHelpText(
      'after',
      '\nExamples:\n  weir inject deploy.yaml | kubectl apply -f -\n  kubectl get deploy -n shop -o yaml | weir inject - | kubectl apply -f -',
    )
    .action(async (file: string, flags: Flags) => {
      const services = new Set(
        flags.service.map((each) => (each.includes('.') ? each : `${each}.${flags.namespace}`)),
      );
      const input = await readManifests(file);
      const { yaml, results } = injectManifests(input, {
        namespace: flags.namespace,
        image: flags.proxyImage,
        ...(flags.sidecar ? { sidecar: flags.sidecar } : {}),
        interception: flags.interception,
        isService: (name, namespace) => services.has(`${name}.${namespace}`),
      });
      process.stdout.write(yaml);
      report(results, 'injected');
    });
}

export const readManifests = async (file: string): Promise<string> =>
  file === '-' ? text(process.stdin) : readGiven(file);

/** One line per workload, on stderr: stdout belongs to the manifests. */
export function report(results: ManifestResult[], done: string): void {
  for (const { resource, changed, reason } of results)
    process.stderr.write(`${resource} ${changed ? done : `skipped: ${reason}`}\n`);
  if (results.length === 0) process.stderr.write('no workload found: nothing was changed\n');
}
