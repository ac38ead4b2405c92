/** CPU time per request of the processes of a path, and rows that compare paths round by round. */
import { type ChildProcess, execFile, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { median, type Row } from '../row.ts';

export const ROUNDS = Number(process.env.WEIR_BENCH_ROUNDS ?? 5);
const SECONDS = 2;

/** A way through: the processes whose CPU counts and the port to send to. */
export interface Path {
  name: string;
  port: number;
  processes: ChildProcess[];
}

/** What one round says: CPU time of a request, and what else the tool tells (NaN where it does not). */
export interface Sample {
  micros: number;
  p50?: number;
  p99?: number;
  /** A second. */
  rate?: number;
}

function ticks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

/** Microseconds that the processes of a path have used so far. */
export const cpuMicros = (path: Path): number =>
  path.processes.reduce((sum, { pid }) => sum + ticks(pid!) * 10_000, 0);

/** One round of load on a path. */
type Load = (path: Path) => Sample | Promise<Sample>;

/** h2load on 8 connections with 16 streams each; `args` make the request. */
export function loadHttp2(h2load: string, args: string[], path: Path): Sample {
  const before = cpuMicros(path);
  const url = `http://127.0.0.1:${path.port}/`;
  const { stdout } = spawnSync(h2load, ['-t1', '-c8', '-m16', '-D', String(SECONDS), ...args, url], {
    encoding: 'utf8',
  });
  const used = cpuMicros(path) - before;
  const ok = Number(/status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx/.exec(stdout)?.[1] ?? 0);
  if (ok === 0) throw new Error(`${path.name}: h2load said\n${stdout}`);
  return { micros: used / ok };
}

const UNITS: Record<string, number> = { us: 0.001, ms: 1, s: 1000 };

/** wrk; `script` makes requests of another kind than GET. */
export function load(wrk: string, path: Path, connections: number, script?: string): Sample {
  const before = cpuMicros(path);
  const url = `http://127.0.0.1:${path.port}/`;
  const args = [
    '-t1',
    `-c${connections}`,
    `-d${SECONDS}s`,
    '--latency',
    ...(script ? ['-s', script] : []),
    url,
  ];
  const { stdout } = spawnSync(wrk, args, {
    encoding: 'utf8',
  });
  const used = cpuMicros(path) - before;
  const requests = Number(/(\d+) requests in/.exec(stdout)?.[1] ?? 0);
  if (requests === 0 || /Non-2xx|Socket errors/.test(stdout))
    throw new Error(`${path.name}: wrk said\n${stdout}`);
  const latency = (quantile: string) => {
    const match = new RegExp(`${quantile}%\\s+([\\d.]+)(us|ms|s)`).exec(stdout);
    return Number(match?.[1]) * UNITS[match?.[2] ?? 'ms']!;
  };
  return { micros: used / requests, p50: latency('50'), p99: latency('99') };
}

export function memory(pid: number): { rss: number; anon: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const read = (field: string) =>
    Math.round(Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1]) / 102.4) / 10;
  return { rss: read('VmRSS'), anon: read('RssAnon') };
}

export const round = (value: number, digits = 1): number => Number(value.toFixed(digits));

export interface Measured {
  /** Peers that the bar counts for; those without one are there to compare. */
  bars?: Record<string, number>;
  /** What one unit of work is called, and how many requests make one. */
  per?: { name: string; requests: number };
  log: (line: string) => void;
}

/** Rounds of load on the paths in turn: Weir beside each of the others, ratios round by round. */
export async function measure(
  name: string,
  paths: Path[],
  load: Load,
  { bars = {}, per = { name: 'request', requests: 1 }, log }: Measured,
): Promise<Row[]> {
  const samples = new Map(paths.map(({ name }) => [name, [] as Sample[]]));
  // What is slow only the first time is not what is measured.
  for (const path of paths) await load(path);
  for (let n = 1; n <= ROUNDS; n += 1) {
    for (const path of paths) {
      const sample = await load(path);
      sample.micros *= per.requests;
      samples.get(path.name)!.push(sample);
      log(`${name} ${path.name} round ${n}: ${round(sample.micros)} us/${per.name}`);
    }
  }
  const middle = (name: string, pick: (sample: Sample) => number | undefined) =>
    median(samples.get(name)!.map((sample) => pick(sample) ?? Number.NaN));
  const own = samples.get('weir')!;
  const rows: Row[] = [];
  for (const peer of paths.map((path) => path.name).filter((each) => each !== 'weir')) {
    const ratio = median(own.map(({ micros }, n) => micros / samples.get(peer)![n]!.micros));
    const bar = bars[peer];
    rows.push({
      name: `${name}: CPU per ${per.name} / ${peer}`,
      value: round(middle('weir', ({ micros }) => micros)),
      unit: 'us',
      peer: round(middle(peer, ({ micros }) => micros)),
      ratio: round(ratio, 2),
      ...(bar === undefined ? {} : { bar: `<= ${bar}`, ok: ratio <= bar }),
    });
    for (const [field, unit] of [
      ['p50', 'ms'],
      ['p99', 'ms'],
      ['rate', 'a second'],
    ] as const) {
      const value = middle('weir', (sample) => sample[field]);
      if (Number.isNaN(value)) continue;
      const [digits, other] = [unit === 'ms' ? 3 : 0, middle(peer, (sample) => sample[field])];
      rows.push({
        name: `${name}: ${field} / ${peer}`,
        value: round(value, digits),
        unit,
        peer: round(other, digits),
      });
    }
  }
  return rows;
}

/** A program of this folder that makes load; its last line on stdout is JSON. */
export async function tool<T>(name: string, ...args: (string | number)[]): Promise<T> {
  const file = fileURLToPath(new URL(`./tools/${name}.ts`, import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [file, ...args.map(String)]);
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as T;
}
