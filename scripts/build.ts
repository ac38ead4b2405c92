// Bundles src/ into dist/: one ESM graph, split so that a subcommand loads only its own chunks.
import { cpSync, globSync, rmSync, statSync } from 'node:fs';
import { build, type Plugin } from 'esbuild';

rmSync('dist', { recursive: true, force: true });

// Dependencies written in CommonJS call require() for Node's built-ins; ESM output has none of its own.
const banner = {
  js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
};

/**
 * client-node does not say that its modules only declare things, so all of its 700 generated models would be loaded for the one class
 * that reads a kubeconfig: some 50 MB in each process that speaks to the API server.
 */
const withoutModels: Plugin = {
  name: 'without the models of client-node',
  setup({ onResolve, resolve }) {
    onResolve({ filter: /./ }, async ({ path, pluginData, ...from }) => {
      const concerned =
        path === '@kubernetes/client-node' || from.importer.includes('@kubernetes/client-node');
      if (!concerned || pluginData === withoutModels) return undefined;
      const found = await resolve(path, { ...from, pluginData: withoutModels });
      return found.path.includes('@kubernetes/client-node') ? { ...found, sideEffects: false } : found;
    });
  },
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
  plugins: [withoutModels],
  logLevel: 'warning',
});

// A native module cannot be bundled: what is loaded of it goes along, for this machine's kind, without its sources.
const loaded = /\.cjs$|\.node$|koffi-[^/]*\/index\.js$|package\.json$|LICENSE/;
for (const from of ['node_modules/koffi', ...globSync('node_modules/@koromix/koffi-*')]) {
  const filter = (path: string) => statSync(path).isDirectory() || loaded.test(path);
  cpSync(from, `dist/${from}`, { recursive: true, filter });
}
for (const empty of ['doc', 'lib', 'vendor']) rmSync(`dist/node_modules/koffi/${empty}`, { recursive: true });
