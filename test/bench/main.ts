// `npm run bench -- NAME [--json]`: prints one JSON object on stdout with --json, a table without; exits 1 on a missed bar.
import { parse } from './help.ts';
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

const asked = parse(process.argv.slice(2));
if ('text' in asked) {
  (asked.code === 0 ? console.log : console.error)(asked.text);
  process.exit(asked.code);
}
const { name, flags, json } = asked;
const { bench } = await benches[name]!();
const rows = await bench.run({ log: (line) => process.stderr.write(`${line}\n`), flags });
print(name, rows, json);
process.exitCode = rows.some(({ ok }) => ok === false) ? 1 : 0;
