/** Resident memory: idle, with ten thousand connections that wait, with a thousand that work. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../support/ports.ts';
import { median, type Row } from '../row.ts';
import { plainPaths, type Tools, weirTo } from './http1.ts';
import { cpuMicros, memory, type Path, ROUNDS } from './measure.ts';
import type { Setup } from './setup.ts';

const IDLE = 10_000;
const ACTIVE = 1_000;
const ACTIVE_SECONDS = 5;
/** For HAProxy, which would allow for two descriptors each. */
const MAXCONN = IDLE + 500;
/** A process that has taken next to no CPU for so many milliseconds has settled. */
const SETTLED = 4_000;
/** Microseconds. */
const NEXT_TO_NONE = 20_000;
/** Looks, after which it is taken as it is: something wakes it up again and again. */
const LOOKS = 15;

const BARS = { idle: { rss: 55, anon: 12 }, active: { rss: 90, anon: 40 } };

type Memory = ReturnType<typeof memory>;
type Log = (line: string) => void;

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const of = (path: Path): Memory => memory(path.processes[0]!.pid!);

async function settled(path: Path, log: Log): Promise<void> {
  const took: number[] = [];
  for (let before = cpuMicros(path); took.length < LOOKS; ) {
    await pause(SETTLED);
    const used = cpuMicros(path);
    took.push((used - before) / 1000);
    if (used - before <= NEXT_TO_NONE) return;
    before = used;
  }
  log(`${path.name} did not settle: ms of CPU in ${SETTLED} ms each: ${took.join(', ')}`);
}

async function stop(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

function rows(name: string, found: Map<string, Memory>, bars?: Memory): Row[] {
  const own = found.get('weir')!;
  return (['rss', 'anon'] as const).flatMap((field) => {
    const label = `${name}: ${field === 'rss' ? 'RSS' : 'RssAnon'}`;
    const peers = [...found].filter(([peer]) => peer !== 'weir');
    const judged = bars && { bar: `<= ${bars[field]}`, ok: own[field] <= bars[field] };
    return [
      { name: label, value: own[field], unit: 'MB', ...judged },
      ...peers.map(([peer, other]) => ({
        name: `${label} / ${peer}`,
        value: own[field],
        unit: 'MB',
        peer: other[field],
      })),
    ];
  });
}

/** Of processes that were just started. */
async function idle(setup: Setup, upstream: number, log: Log): Promise<Memory> {
  const samples: Memory[] = [];
  for (let n = 0; n < ROUNDS; n += 1) {
    const path = await weirTo(setup, upstream);
    await settled(path, log);
    samples.push(of(path));
    await stop(path.processes[0]!);
  }
  return { rss: median(samples.map(({ rss }) => rss)), anon: median(samples.map(({ anon }) => anon)) };
}

/** Of a sidecar that has its certificate and its one destination from a control plane. */
async function sidecar(setup: Setup, log: Log): Promise<Memory> {
  const file = fileURLToPath(new URL('./tools/control-plane.ts', import.meta.url));
  const plane = spawn(process.execPath, [file, setup.dir], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [served] = (await once(plane.stdout, 'data')) as [Buffer];
  const samples: Memory[] = [];
  for (let n = 0; n < ROUNDS; n += 1) {
    const port = await freePort();
    const child = await setup.sidecar(Number(String(served)), port);
    await settled({ name: 'weir', port, processes: [child] }, log);
    samples.push(memory(child.pid!));
    await stop(child);
  }
  plane.stdin.end();
  await once(plane, 'exit');
  return { rss: median(samples.map(({ rss }) => rss)), anon: median(samples.map(({ anon }) => anon)) };
}

/** While the connections of a path are held. */
async function holding(path: Path, log: Log): Promise<Memory> {
  const file = fileURLToPath(new URL('./tools/hold.ts', import.meta.url));
  const holder = spawn(process.execPath, [file, String(path.port), String(IDLE)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [said] = (await Promise.race([once(holder.stdout, 'data'), once(holder, 'exit')])) as [unknown];
  if (!String(said).includes('held')) throw new Error(`${path.name} did not hold ${IDLE} connections`);
  await settled(path, log);
  const taken = of(path);
  holder.stdin.end();
  await once(holder, 'exit');
  return taken;
}

/** The most there was under load. */
async function working(wrk: string, path: Path): Promise<Memory> {
  const url = `http://127.0.0.1:${path.port}/`;
  const load = spawn(wrk, ['-t1', `-c${ACTIVE}`, `-d${ACTIVE_SECONDS}s`, url], { stdio: 'ignore' });
  const over = once(load, 'exit');
  const most: Memory = { rss: 0, anon: 0 };
  while (load.exitCode === null) {
    const { rss, anon } = of(path);
    most.rss = Math.max(most.rss, rss);
    most.anon = Math.max(most.anon, anon);
    await Promise.race([over, pause(200)]);
  }
  return most;
}

export async function memoryRows(setup: Setup, tools: Tools, upstream: number, log: Log): Promise<Row[]> {
  const fresh = await idle(setup, upstream, log);
  log(`idle: ${JSON.stringify(fresh)}`);
  const meshed = await sidecar(setup, log);
  log(`idle sidecar: ${JSON.stringify(meshed)}`);
  const measured = async (name: string, take: (path: Path) => Promise<Memory>) => {
    const found = new Map<string, Memory>();
    for (const path of await plainPaths(setup, tools, upstream, MAXCONN)) {
      found.set(path.name, await take(path));
      log(`${name} ${path.name}: ${JSON.stringify(found.get(path.name))}`);
      await stop(path.processes[0]!);
    }
    return found;
  };
  const held = await measured(`${IDLE} idle connections`, (path) => holding(path, log));
  const active = await measured(`${ACTIVE} active connections`, (path) => working(tools.wrk, path));
  return [
    ...rows('idle', new Map([['weir', fresh]]), BARS.idle),
    ...rows('idle sidecar', new Map([['weir', meshed]]), BARS.idle),
    ...rows(`${IDLE} idle connections`, held),
    ...rows(`${ACTIVE} active connections`, active, BARS.active),
  ];
}
