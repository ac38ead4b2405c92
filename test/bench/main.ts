// `npm run bench -- NAME [--json]`: prints one JSON object on stdout with --json, a table without; exits 1 on a missed bar.
import { type Bench, print } from './row.ts';

const benches: Record<string, () => Promise<{ bench: Bench }>> = {
  demo: () => import('./demo.ts'),
  rollback: () => import('./rollback.ts'),
  'zero-loss': () => import('./zero-loss.ts'),
  proxy: () => import('./proxy.ts'),
  controller: () => import('./controller.ts'),
  'metrics-store': () => import('./metrics-store.ts'),
  test: () => import('./test.ts'),
};

const [name, ...flags] = process.argv.slice(2);
const load = name === undefined ? undefined : benches[name];
if (!load) {
  console.error(`usage: npm run bench -- NAME [--json]\nbenches: ${Object.keys(benches).join(', ')}`);
  process.exit(2);
}
const { bench } = await load();
const rows = await bench.run({
  log: (line) => process.stderr.write(`${line}\n`),
  flags: flags.filter((flag) => flag !== '--json'),
});
print(name!, rows, flags.includes('--json'));
process.exitCode = rows.some(({ ok }) => ok === false) ? 1 : 0;
