import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Command } from 'commander';
import { given, WrongInput } from './given.ts';
import { entry, handOver } from './proxy/hand-over.ts';

export function command(): Command {
  return new Command('proxy')
    .description('Run the proxy: as a sidecar from its environment, or alone from a file.')
    .option('--config <file>', 'run from this file instead of the mesh (docs/proxy.md)')
    .option('--check', 'check the file and exit')
    .option('--print', 'with --check: print the normalised configuration as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  weir proxy --config proxy.yaml --check   is the file right\n  weir proxy --config proxy.yaml           run it; SIGHUP reads it again',
    )
    .action(async (options: { config?: string; check?: boolean; print?: boolean }) => {
      if (options.print && !options.check) throw new WrongInput(undefined, '--print goes with --check');
      if (options.config === undefined) {
        if (options.check) throw new WrongInput(undefined, '--check needs --config FILE');
        // Only who is injected has an environment to run from.
        if (!process.env.POD_IP)
          throw new WrongInput(
            undefined,
            'nothing says what to proxy: give --config FILE (docs/proxy.md); in a pod the injector sets the environment',
          );
        return handOver([]);
      }
      const { loadProxyFile } = await import('./proxy/load.ts');
      const path = resolve(options.config);
      const config = await given(() => loadProxyFile(path));
      if (options.check) {
        process.stdout.write(options.print ? `${JSON.stringify(config)}\n` : `${options.config}: ok\n`);
        return;
      }
      const file = join(mkdtempSync(join(tmpdir(), 'weir-proxy-')), 'config.json');
      writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
      const validator = [entry('main'), 'proxy', '--config', path, '--check', '--print'];
      handOver(['--static', file, '--validator', ...validator]);
    });
}
