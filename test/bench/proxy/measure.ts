/** CPU time per request of the processes of a path, and rows that compare paths round by round. */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { median, type Row } from '../row.ts';

const ROUNDS = Number(process.env.WEIR_BENCH_ROUNDS ?? 5);
const SECONDS = 2;

/** A way through: the processes whose CPU counts and the port to send to. */
export interface Path {
  name: string;
  port: number;
  processes: ChildProcess[];
}

interface Sample {
  micros: number;
  p50: number;
  p99: number;
}

function ticks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

/** What one round of load on a path says: the CPU time of its processes, and latencies where the tool has them. */
type Load = (path: Path) => Sample;

/** h2load on 8 connections with 16 streams each; `args` make the request. */
export function loadHttp2(h2load: string, args: string[], path: Path): Sample {
  const before = path.processes.reduce((sum, { pid }) => sum + ticks(pid!), 0);
  const url = `http://127.0.0.1:${path.port}/`;
  const { stdout } = spawnSync(h2load, ['-t1', '-c8', '-m16', '-D', String(SECONDS), ...args, url], {
    encoding: 'utf8',
  });
  const after = path.processes.reduce((sum, { pid }) => sum + ticks(pid!), 0);
  const ok = Number(/status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx/.exec(stdout)?.[1] ?? 0);
  if (ok === 0) throw new Error(`${path.name}: h2load said\n${stdout}`);
  return { micros: ((after - before) * 10_000) / ok, p50: Number.NaN, p99: Number.NaN };
}

const UNITS: Record<string, number> = { us: 0.001, ms: 1, s: 1000 };

export function load(wrk: string, path: Path, connections: number): Sample {
  const before = path.processes.reduce((sum, { pid }) => sum + ticks(pid!), 0);
  const url = `http://127.0.0.1:${path.port}/`;
  const { stdout } = spawnSync(wrk, ['-t1', `-c${connections}`, `-d${SECONDS}s`, '--latency', url], {
    encoding: 'utf8',
  });
  const after = path.processes.reduce((sum, { pid }) => sum + ticks(pid!), 0);
  const requests = Number(/(\d+) requests in/.exec(stdout)?.[1] ?? 0);
  if (requests === 0 || /Non-2xx|Socket errors/.test(stdout))
    throw new Error(`${path.name}: wrk said\n${stdout}`);
  const latency = (quantile: string) => {
    const match = new RegExp(`${quantile}%\\s+([\\d.]+)(us|ms|s)`).exec(stdout);
    return Number(match?.[1]) * UNITS[match?.[2] ?? 'ms']!;
  };
  return { micros: ((after - before) * 10_000) / requests, p50: latency('50'), p99: latency('99') };
}

export function memory(pid: number): { rss: number; anon: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const read = (field: string) =>
    Math.round(Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]) / 102.4) / 10;
  return { rss: read('VmRSS'), anon: read('RssAnon') };
}

const round = (value: number, digits = 1) => Number(value.toFixed(digits));

export function measure(
  name: string,
  paths: Path[],
  load: Load,
  bar: number,
  log: (line: string) => void,
): Row[] {
  const samples = new Map(paths.map(({ name }) => [name, [] as Sample[]]));
  // What is slow only the first time is not what is measured.
  for (const path of paths) load(path);
  for (let n = 1; n <= ROUNDS; n += 1) {
    for (const path of paths) {
      const sample = load(path);
      samples.get(path.name)!.push(sample);
      log(`${name} ${path.name} round ${n}: ${round(sample.micros)} us/request`);
    }
  }
  const middle = (name: string, pick: (sample: Sample) => number) => median(samples.get(name)!.map(pick));
  const rows: Row[] = [];
  for (const peer of ['haproxy', 'haproxy with h2 between', 'nginx'].filter((each) => samples.has(each))) {
    const ratio = median(samples.get('weir')!.map(({ micros }, n) => micros / samples.get(peer)![n]!.micros));
    rows.push({
      name: `${name}: CPU per request / ${peer}`,
      value: round(middle('weir', ({ micros }) => micros)),
      unit: 'us',
      peer: round(middle(peer, ({ micros }) => micros)),
      ratio: round(ratio, 2),
      ...(peer === 'haproxy' ? { bar: `<= ${bar}`, ok: ratio <= bar } : {}),
    });
    if (Number.isNaN(middle('weir', ({ p50 }) => p50))) continue;
    for (const quantile of ['p50', 'p99'] as const) {
      rows.push({
        name: `${name}: ${quantile} / ${peer}`,
        value: round(
          middle('weir', (sample) => sample[quantile]),
          3,
        ),
        unit: 'ms',
        peer: round(
          middle(peer, (sample) => sample[quantile]),
          3,
        ),
      });
    }
  }
  return rows;
}
