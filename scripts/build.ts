// Bundles src/ into dist/: one ESM graph, split so that a subcommand loads only its own chunks, and the proxy by itself.
import { cpSync, globSync, rmSync, statSync } from 'node:fs';
import { type BuildOptions, build, type Plugin } from 'esbuild';

rmSync('dist', { recursive: true, force: true });

// Dependencies written in CommonJS call require() for Node's built-ins; ESM output has none of its own.
const banner = {
  js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
};

/**
 * client-node does not say that its modules only declare things, so all of its 700 generated models would be loaded for the one class
 * that runs a kubeconfig's plug-ins: some 50 MB in each process that needs one.
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

/**
 * `import … from 'node:http'` reads every export of that module, and among them are getters behind which the whole of
 * Node's own undici is loaded: 80 ms of CPU and 13 MB in each process. Asked for by name it is not.
 */
const withoutUndici: Plugin = {
  name: 'node:http without what its getters load',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(node:)?http$/ }, ({ kind }) =>
      kind === 'import-statement' ? { path: 'node:http', namespace: 'builtin' } : undefined,
    );
    onLoad({ filter: /./, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule('${path}');`,
    }));
  },
};

const common = {
  outdir: 'dist',
  bundle: true,
  platform: 'node',
  target: 'node24',
  sourcemap: true,
  sourcesContent: false,
  legalComments: 'none',
  logLevel: 'warning',
} satisfies BuildOptions;

await build({
  ...common,
  entryPoints: { main: 'src/main.ts', sample: 'src/local/node/sample/main.ts' },
  splitting: true,
  format: 'esm',
  chunkNames: 'chunks/[name]-[hash]',
  banner,
  plugins: [withoutModels, withoutUndici],
});

/** Built-ins that not every proxy needs, or not before somebody connects. */
const LATER = /^node:(tls|https|http|crypto|child_process|dns|dns\/promises|fs\/promises)$/;

/** Loads a built-in when the first of its functions is used, not when whoever imports it is loaded. */
const whenUsed: Plugin = {
  name: 'built-ins when they are used',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: LATER }, ({ path, namespace }) =>
      namespace === 'later' ? { path, external: true } : { path, namespace: 'later' },
    );
    onLoad({ filter: /./, namespace: 'later' }, async ({ path }) => {
      const names = Object.keys(await import(path)).filter((name) => name !== 'default');
      const getters = names.map((name) => `get ${name}() { return load().${name}; },`).join('\n');
      return {
        contents: `let found; const load = () => (found ??= require('${path}'));\nmodule.exports = {\n${getters}\n};`,
      };
    });
  },
};

/**
 * The proxy by itself. CommonJS, because an `import` of a built-in reads everything that it exports, which loads undici, HTTP/2,
 * readline and more into a process of which there is one per pod. Names stay, for the stacks of errors.
 */
const { metafile } = await build({
  ...common,
  metafile: true,
  entryPoints: { proxy: 'src/mesh/proxy/main.ts' },
  format: 'cjs',
  outExtension: { '.js': '.cjs' },
  minifyWhitespace: true,
  minifySyntax: true,
  define: { 'import.meta.url': '__moduleUrl' },
  banner: { js: "const __moduleUrl = require('node:url').pathToFileURL(__filename).href;" },
  plugins: [whenUsed],
});

/** There is one proxy per pod: each of these costs megabytes of every pod's memory. */
const NOT_IN_PROXY = ['zod', '@kubernetes/client-node', 'pino', 'commander', 'yaml', '@peculiar/x509'];
const PROXY_BUDGET = 350 * 1024;

const { bytes, inputs } = metafile.outputs['dist/proxy.cjs']!;
const found = NOT_IN_PROXY.flatMap((name) => {
  const files = Object.keys(inputs).filter((file) => file.includes(`node_modules/${name}/`));
  return files.length === 0
    ? []
    : [`${name} (${files.length} files, imported by ${importers(name).join(', ')})`];
});
if (found.length > 0)
  fail(`dist/proxy.cjs has ${found.join('; ')}: keep it out of what src/mesh/proxy imports`);
if (bytes > PROXY_BUDGET) {
  const largest = Object.entries(inputs).sort((a, b) => b[1].bytesInOutput - a[1].bytesInOutput);
  const names = largest.slice(0, 3).map(([file, { bytesInOutput }]) => `${file} (${bytesInOutput})`);
  fail(`dist/proxy.cjs has ${bytes} bytes, more than ${PROXY_BUDGET}; most are of ${names.join(', ')}`);
}

/** Files outside of a package that import it. */
function importers(name: string): string[] {
  return Object.entries(metafile.inputs)
    .filter(
      ([file, { imports }]) =>
        !file.includes('node_modules/') && imports.some(({ path }) => path.includes(`node_modules/${name}/`)),
    )
    .map(([file]) => file);
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

// A native module cannot be bundled: what is loaded of it goes along, for this machine's kind, without its sources.
const loaded = /\.cjs$|\.node$|koffi-[^/]*\/index\.js$|package\.json$|LICENSE/;
for (const from of ['node_modules/koffi', ...globSync('node_modules/@koromix/koffi-*')]) {
  const filter = (path: string) => statSync(path).isDirectory() || loaded.test(path);
  cpSync(from, `dist/${from}`, { recursive: true, filter });
}
for (const empty of ['doc', 'lib', 'vendor']) rmSync(`dist/node_modules/koffi/${empty}`, { recursive: true });
