// Writes crds/*.yaml from the zod schemas in src/api; with --check only compares, and exits 1 on a difference.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { customResourceDefinitions } from '../src/api/crd.ts';

const check = process.argv.includes('--check');
mkdirSync('crds', { recursive: true });
for (const definition of customResourceDefinitions()) {
  const file = `crds/${definition.metadata.name}.yaml`;
  const text = `# Generated from src/api by \`npm run generate\`. Do not edit.\n${stringify(definition, { aliasDuplicateObjects: false, lineWidth: 120 })}`;
  if (check) {
    let current = '';
    try {
      current = readFileSync(file, 'utf8');
    } catch {
      // Missing is different.
    }
    if (current !== text) {
      console.error(`${file} is out of date: run \`npm run generate\``);
      process.exitCode = 1;
    }
  } else {
    writeFileSync(file, text);
    console.log(file);
  }
}
