#!/usr/bin/env node
// Weir needs Node 24; where the `node` on the PATH is older, hand over to the one that came with the package.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module from 'node:module';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';

const root = new URL('..', import.meta.url);
const major = Number(process.versions.node.split('.')[0]);

if (major >= 24) {
  module.enableCompileCache();
  await import(new URL('dist/main.js', root));
} else {
  const bundled = fileURLToPath(new URL('node_modules/node/bin/node', root));
  if (!existsSync(bundled)) {
    process.stderr.write(
      `weir needs Node 24 or newer, this is ${process.version}: run \`npm ci\`, or install Node 24.\n`,
    );
    process.exit(1);
  }
  const child = spawn(bundled, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: 'inherit',
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) =>
    process.exit(signal ? 128 + (constants.signals[signal] ?? 0) : (code ?? 1)),
  );
}
