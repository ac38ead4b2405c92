// Enforces the import rule of docs/ARCHITECTURE.md: a layer imports only from layers below it, features never
// import each other, and the proxy stays free of Kubernetes. Prints each breach; exits 1 when there is one.
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

const features = ['rollout', 'analysis', 'traffic', 'mesh', 'metrics', 'local', 'dashboard', 'gitops'];

// What a folder may import beside itself. The longest matching folder decides.
const allowed: Record<string, string[]> = {
  lib: [],
  api: ['lib'],
  kube: ['lib', 'api'],
  controller: ['lib', 'api', 'kube'],
  ...Object.fromEntries(features.map((feature) => [feature, ['lib', 'api', 'kube', 'controller']])),
  'mesh/proxy': [
    'lib',
    'mesh/identity/client',
    'mesh/discovery/client',
    'mesh/discovery/model',
    'mesh/policy',
    'mesh/tracing',
  ],
  // Ports are declared next to the pure core that needs them; the features that implement them import only these.
  traffic: ['lib', 'api', 'kube', 'controller', 'rollout/ports'],
  analysis: ['lib', 'api', 'kube', 'controller', 'rollout/ports'],
  rollout: ['lib', 'api', 'kube', 'controller', 'analysis/ports'],
  // What both the proxy and the control plane read may know nothing but lib.
  'mesh/discovery/client': ['lib', 'mesh/discovery/model', 'mesh/identity/client'],
  'mesh/discovery/model': ['lib'],
  'mesh/identity/client': ['lib'],
  'mesh/policy': ['lib', 'api', 'mesh/discovery/model'],
};

const breaches: string[] = [];
for (const file of globSync('src/**/*.ts')) {
  const path = file.replaceAll('\\', '/').replace(/^src\//, '');
  if (path === 'main.ts' || path.startsWith('cli/')) continue;
  const layer = Object.keys(allowed)
    .filter((folder) => path === `${folder}.ts` || path.startsWith(`${folder}/`))
    .sort((a, b) => b.length - a.length)[0];
  if (!layer) {
    breaches.push(`${file}: no layer of the import rule covers this file`);
    continue;
  }
  const source = readFileSync(file, 'utf8');
  for (const [, specifier] of source.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)) {
    if (!specifier) continue;
    if (
      layer === 'mesh/proxy' &&
      /^(@kubernetes|zod|node:https?|node:http2|undici)/.test(specifier) &&
      !/(\.test|fixtures)\.ts$/.test(path)
    ) {
      breaches.push(`${file}: the proxy must not load ${specifier}`);
    }
    if (!specifier.startsWith('.')) continue;
    const target = normalize(join(dirname(path), specifier)).replaceAll('\\', '/');
    const own = target.startsWith(`${layer}/`) || target === `${layer}.ts`;
    const ok =
      own || allowed[layer]!.some((folder) => target === `${folder}.ts` || target.startsWith(`${folder}/`));
    if (!ok) breaches.push(`${file}: ${layer} may not import ${target}`);
  }
}
for (const breach of breaches) console.error(breach);
console.log(breaches.length === 0 ? 'import rule: kept' : `import rule: ${breaches.length} breach(es)`);
process.exitCode = breaches.length === 0 ? 0 : 1;
