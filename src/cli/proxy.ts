import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { AppError } from '../lib/errors.ts';

/**
 * Smaller young generation and no helper threads: what a sidecar needs is little, and there is one per pod. More flags of V8
 * than this one would make node compile its own modules again instead of taking the code it was built with.
 */
const NODE_FLAGS = ['--v8-pool-size=0', '--max-semi-space-size=1', '--disable-warning=ExperimentalWarning'];

/** A sidecar trusts its mesh: it need not hold the public authorities, which cost it 1.5 MB, unless spans go there by https. */
export function withoutPublicAuthorities(env: NodeJS.ProcessEnv): string[] {
  const asked = /-ca\b/.test(env.NODE_OPTIONS ?? '') || env.WEIR_TRACE_OTLP?.startsWith('https:');
  return asked ? [] : ['--use-openssl-ca'];
}

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
        return handOver([], withoutPublicAuthorities(process.env));
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
  const file = name === 'main' ? 'main.js' : 'proxy.cjs';
  const built = [`../${file}`, `./${file}`].map((path) => fileURLToPath(new URL(path, import.meta.url)));
  const found = built.find((path) => existsSync(path));
  if (!found)
    throw new AppError('Internal', `the build is incomplete: ${built[0]} is missing; run npm run build`);
  return found;
}

/** Becomes the proxy process, which loads nothing of the command line: same pid, so signals need no relay. */
function handOver(args: string[], flags: string[] = []): void {
  const argv = [...NODE_FLAGS, ...flags, entry('proxy'), ...args];
  // The few threads there are need no heap of their own in the C library.
  const env = { MALLOC_ARENA_MAX: '1', ...process.env };
  if (process.execve && process.platform !== 'win32') {
    process.removeAllListeners('warning');
    process.execve(process.execPath, [process.execPath, ...argv], env);
  }
  const child = spawn(process.execPath, argv, { stdio: 'inherit', env });
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => {
    process.exitCode = signal ? 128 + (constants.signals[signal] ?? 0) : (code ?? 1);
  });
}
