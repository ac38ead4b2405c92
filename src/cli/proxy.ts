import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { AppError } from '../lib/errors.ts';

/** Smaller young generation and no helper threads: what a sidecar needs is little, and there is one per pod. */
const NODE_FLAGS = ['--v8-pool-size=0', '--max-semi-space-size=1', '--disable-warning=ExperimentalWarning'];

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
      if (options.config === undefined) {
        if (options.check) throw new AppError('Invalid', '--check needs --config FILE');
        return handOver([]);
      }
      const { loadProxyFile } = await import('./proxy/load.ts');
      const path = resolve(options.config);
      const config = loadProxyFile(path);
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

/** `main` or `proxy`: the built entry, or its source when this runs from source. */
function entry(name: 'main' | 'proxy'): string {
  if (import.meta.url.endsWith('.ts')) {
    return fileURLToPath(new URL(name === 'main' ? '../main.ts' : '../mesh/proxy/main.ts', import.meta.url));
  }
  const built = [`../${name}.js`, `./${name}.js`].map((path) =>
    fileURLToPath(new URL(path, import.meta.url)),
  );
  const found = built.find((path) => existsSync(path));
  if (!found)
    throw new AppError('Internal', `the build is incomplete: ${built[0]} is missing; run npm run build`);
  return found;
}

/** Becomes the proxy process, which loads nothing of the command line: same pid, so signals need no relay. */
function handOver(args: string[]): void {
  const argv = [...NODE_FLAGS, entry('proxy'), ...args];
  if (process.execve && process.platform !== 'win32') {
    process.removeAllListeners('warning');
    process.execve(process.execPath, [process.execPath, ...argv]);
  }
  const child = spawn(process.execPath, argv, { stdio: 'inherit' });
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => {
    process.exitCode = signal ? 128 + (constants.signals[signal] ?? 0) : (code ?? 1);
  });
}
