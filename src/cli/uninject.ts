import { Command } from 'commander';
import { uninjectManifests } from '../mesh/index.ts';
import { readManifests, report } from './inject.ts';

export function command(): Command {
  return new Command('uninject')
    .summary('take the sidecar out of manifests')
    .description('Undoes `weir inject`: prints the manifests as they were before.')
    .argument('<file>', 'manifests; - reads stdin')
    .addHelpText('after', '\nExample:\n  weir uninject injected.yaml | kubectl apply -f -')
    .action(async (file: string) => {
      const { yaml, results } = uninjectManifests(await readManifests(file));
      process.stdout.write(yaml);
      report(results, 'uninjected');
    });
}
