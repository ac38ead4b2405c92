// Bundles src/ into dist/: one ESM graph, split so that a subcommand loads only its own chunks.
import { rmSync } from 'node:fs';
import { build } from 'esbuild';

rmSync('dist', { recursive: true, force: true });

// Dependencies written in CommonJS call require() for Node's built-ins; ESM output has none of its own.
const banner = {
  js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
};

await build({
  entryPoints: {
    main: 'src/main.ts',
    proxy: 'src/mesh/proxy/main.ts',
    sample: 'src/local/node/sample/main.ts',
  },
  outdir: 'dist',
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  sourcemap: true,
  sourcesContent: false,
  legalComments: 'none',
  chunkNames: 'chunks/[name]-[hash]',
  banner,
  logLevel: 'warning',
});
