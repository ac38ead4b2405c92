/** An attack on a running proxy by a process of its own, and what it does to everybody else. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect } from '@jest/globals';
import type { Toll } from './attacker.ts';
import type { Identity, Running } from './proxies.ts';

const PROGRAMS = join(import.meta.dirname, '../programs');
/** Of a bystander's requests. */
const EVERY = 10;
/**
 * A bystander's p99 may be twice what it was before, and this much in any case: two cores are shared by proxy, attackers, server
 * and whatever else runs. Milliseconds.
 */
const FACTOR = 2;
const FLOOR = 100;
/** Others on a machine can be to blame once or twice, the proxy would be each time. */
const ATTEMPTS = 3;
const CLEAN_WITHIN = 40_000;
/** Cores of a proxy: one thread, and what collects its garbage. */
const MOST_CPU = 1.5;
/** … that an attack may keep busy which sends next to nothing. */
const QUIET_CPU = 0.6;

export const rss = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
const descriptors = (pid: number) => readdirSync(`/proc/${pid}/fd`).length;
/** Seconds of processor time. */
function cpu(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** From now until it is asked: how many times as long a process took as it would have with a processor to itself. */
function stretching(pid: number): () => number {
  const read = () =>
    readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ').map(Number) as [number, number];
  const [ran, waited] = read();
  return () => {
    const now = read();
    // Nanoseconds; hardly to have run at all says nothing.
    return 1 + (now[1] - waited) / Math.max(1e7, now[0] - ran);
  };
}

/** A server in a process of its own: its port, and how to end it. */
export async function origin(version: 'http1' | 'http2'): Promise<{ port: number; stop(): void }> {
  const child = spawn(process.execPath, [join(PROGRAMS, 'origin.ts'), version], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { port: Number(line.toString()), stop: () => void child.stdin.end() };
}

interface Siege {
  /** Of an attack in http1-attacks or http2-attacks. */
  name: string;
  proxy: Running;
  /** Where it goes, if not to the proxy's first listener. */
  port?: number;
  /** Where a proxy's certificate is asked for: the attacker's. */
  identity?: Identity;
  milliseconds: number;
  /** One request of somebody else, answered well; rejects otherwise. */
  ask: () => Promise<unknown>;
  /** What the proxy must have counted meanwhile. */
  cause: string | undefined;
  /** Sends next to nothing. */
  quiet: boolean;
  /** Bytes. */
  growth: number;
}

/** Latencies of requests sent every ten milliseconds, each from when it was due; in order of size. */
async function watch(ask: Siege['ask'], milliseconds: number): Promise<number[]> {
  const latencies: number[] = [];
  const pending: Promise<void>[] = [];
  const begun = performance.now();
  let failed: unknown;
  for (let n = 0; n * EVERY < milliseconds; n += 1) {
    const due = begun + n * EVERY;
    while (performance.now() < due) await new Promise((resolve) => setTimeout(resolve, 1));
    pending.push(
      ask().then(
        () => void latencies.push(performance.now() - due),
        (thrown) => {
          failed ??= thrown;
        },
      ),
    );
  }
  await Promise.all(pending);
  if (failed !== undefined) throw failed;
  return latencies.sort((a, b) => a - b);
}

const p99 = (sorted: number[]) => sorted[Math.floor(0.99 * (sorted.length - 1))]!;

/** Attackers that have begun; `toll` fails if the proxy did not end what it must. */
async function besiege({ name, proxy, port = proxy.port, identity, milliseconds }: Siege) {
  const args = [join(PROGRAMS, 'attack.ts'), name, String(port), String(milliseconds)];
  const child: ChildProcess = spawn(process.execPath, identity ? [...args, JSON.stringify(identity)] : args, {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const [said, complained] = [text(child.stdout!), text(child.stderr!)];
  const begun = new Promise<void>((resolve) => child.stdout!.once('data', () => resolve()));
  const toll = once(child, 'exit').then(async ([code]): Promise<Toll> => {
    if (code !== 0) throw new Error(`${name}: ${await complained}`);
    return JSON.parse((await said).trim().split('\n').at(-1)!) as Toll;
  });
  await Promise.race([begun, toll]);
  return { toll };
}

/**
 * One attack: a bystander is served as before, the proxy takes no more memory and processor than it may, ends by its own limits
 * what must end, and has nothing left of it afterwards.
 */
export async function withstand(siege: Siege): Promise<Toll> {
  const { name, proxy, ask, milliseconds, cause, quiet, growth } = siege;
  const { pid } = proxy;
  const size = rss(pid);
  for (let attempt = 1; ; attempt += 1) {
    const before = p99(await watch(ask, 1_000));
    const [files, counted] = [descriptors(pid), cause === undefined ? 0 : await proxy.failed(cause)];
    const [used, began] = [cpu(pid), performance.now()];
    const { toll } = await besiege(siege);
    const stretched = [pid, process.pid].map(stretching);
    const during = await watch(ask, milliseconds);
    // What a machine that does other things makes of the same work is not the proxy's doing.
    const stretch = Math.max(...stretched.map((each) => each()));
    const allowed = Math.max(FLOOR * stretch, FACTOR * before);
    const came = await toll;
    const cores = (cpu(pid) - used) / ((performance.now() - began) / 1000);
    const grown = rss(pid) - size;
    process.stderr.write(
      `${name}: ${(grown / 1_048_576).toFixed(0)} MB, ${cores.toFixed(2)} cores, ${came.connections} connections (${came.cutOff} cut off), ` +
        `p99 of ${during.length} others ${before.toFixed(1)} -> ${p99(during).toFixed(1)} ms (of ${allowed.toFixed(0)})\n`,
    );
    expect(grown).toBeLessThan(growth);
    expect(cores).toBeLessThan(quiet ? QUIET_CPU : MOST_CPU);
    if (cause !== undefined) expect(await proxy.failed(cause)).toBeGreaterThan(counted);
    // Nothing of them is left, and nothing is being done for them. Streams are cancelled at a server as slowly as it may be asked to.
    const end = Date.now() + CLEAN_WITHIN;
    const most = files + 5;
    while (descriptors(pid) > most && Date.now() < end) await ask();
    expect(descriptors(pid)).toBeLessThanOrEqual(most);
    let rest = cpu(pid);
    await watch(ask, 500);
    while (cpu(pid) - rest > 0.4 && Date.now() < end) {
      rest = cpu(pid);
      await watch(ask, 500);
    }
    expect(cpu(pid) - rest).toBeLessThanOrEqual(0.4);
    if (p99(during) <= allowed) return came;
    if (attempt === ATTEMPTS) expect(p99(during)).toBeLessThanOrEqual(allowed);
  }
}
