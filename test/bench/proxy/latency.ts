/** What a proxy adds to the latency of a server that is asked a thousand times a second: one just started, and one that has served. */
import { median, type Row } from '../row.ts';
import { origin, plainPaths, type Tools } from './http1.ts';
import { load, type Path, ROUNDS, round, type Sample, tool } from './measure.ts';
import type { Setup } from './setup.ts';

const RATE = 1_000;
const SECONDS = 4;
/** Rounds of two seconds at 32 connections: V8 has compiled what requests run after 45,000 of them. */
const WARMING = 3;

type Quantiles = Required<Pick<Sample, 'p50' | 'p99'>>;
type Added = Map<string, Quantiles[]>;
type Log = (line: string) => void;

const ask = (path: Path) => tool<Quantiles>('open-loop', path.port, RATE, SECONDS);

/** One round: the server without a proxy, then each of the paths. */
async function askAll(name: string, direct: Path, paths: Path[], added: Added, log: Log): Promise<void> {
  const base = await ask(direct);
  for (const path of paths) {
    const { p50, p99 } = await ask(path);
    const before = added.get(path.name) ?? [];
    added.set(path.name, [...before, { p50: p50 - base.p50, p99: p99 - base.p99 }]);
    log(
      `latency, ${name}, ${path.name}: p50 ${round(p50, 3)} p99 ${round(p99, 3)} ms, direct ${round(base.p50, 3)} ${round(base.p99, 3)}`,
    );
  }
}

function rowsOf(name: string, added: Added): Row[] {
  const rows: Row[] = [];
  for (const peer of [...added.keys()].filter((each) => each !== 'weir')) {
    for (const quantile of ['p50', 'p99'] as const) {
      const of = (path: string) => median(added.get(path)!.map((each) => each[quantile]));
      const [own, other] = [of('weir'), of(peer)];
      rows.push({
        name: `added ${quantile} at ${RATE} requests a second, open loop, ${name} / ${peer}`,
        value: round(own, 3),
        unit: 'ms',
        peer: round(other, 3),
        // On a machine that is busy what is added may be less than nothing, which is no ratio.
        ...(own > 0 && other > 0 ? { ratio: round(own / other, 2) } : {}),
        ...(peer === 'haproxy' ? { bar: `<= ${round(other, 3)}`, ok: own <= other } : {}),
      });
    }
  }
  return rows;
}

export async function latencyRows(setup: Setup, tools: Tools, log: Log): Promise<Row[]> {
  const upstream = await origin(setup, tools.nginx);
  const direct = { name: 'direct', port: upstream, processes: [] };
  const fresh: Added = new Map();
  for (let n = 1; n <= ROUNDS; n += 1) {
    const paths = await plainPaths(setup, tools, upstream);
    await askAll(`fresh, round ${n}`, direct, paths, fresh, log);
    for (const { processes } of paths) for (const each of processes) each.kill('SIGKILL');
  }
  const paths = await plainPaths(setup, tools, upstream);
  const warm: Added = new Map();
  for (const path of paths) for (let n = 0; n < WARMING; n += 1) load(tools.wrk, path, 32);
  for (let n = 1; n <= ROUNDS; n += 1) await askAll(`warm, round ${n}`, direct, paths, warm, log);
  return [...rowsOf('just started', fresh), ...rowsOf('warm', warm)];
}
