import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { AppError } from '../../lib/errors.ts';
import { PROXY_ENV, proxyFlags } from '../../lib/proxy-process.ts';

/** `main` or `proxy`: the built entry, or its source when this runs from source. */
export function entry(name: 'main' | 'proxy'): string {
  if (import.meta.url.endsWith('.ts')) {
    return fileURLToPath(
      new URL(name === 'main' ? '../../main.ts' : '../../mesh/proxy/main.ts', import.meta.url),
    );
  }
  const file = name === 'main' ? 'main.js' : 'proxy.cjs';
  const built = [`../${file}`, `./${file}`].map((path) => fileURLToPath(new URL(path, import.meta.url)));
  const found = built.find((path) => existsSync(path));
  if (!found)
    throw new AppError('Internal', `the build is incomplete: ${built[0]} is missing; run npm run build`);
  return found;
}

/** Becomes the proxy process, a sidecar without arguments, which loads nothing of the command line: same pid, so signals need no relay. */
export function handOver(args: string[]): void {
  const argv = [...proxyFlags(process.env, args.length === 0), entry('proxy'), ...args];
  const env = { ...PROXY_ENV, ...process.env };
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
