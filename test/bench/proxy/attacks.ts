/** What an attack does to others: a bystander's p99 while it goes on, over that of the same bystander before. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { ATTACKS } from '../../conformance/support/http1-attacks.ts';
import { freePort } from '../../support/ports.ts';
import { median, type Row } from '../row.ts';
import { plainPaths, type Tools } from './http1.ts';
import { type Path, ROUNDS, round, tool } from './measure.ts';
import type { Setup } from './setup.ts';

const RATE = 200;
const SECONDS = 2;
const BAR = 2;

/** Attackers in a process of their own, who have begun when this resolves. */
async function besiege(name: string, port: number): Promise<ChildProcess> {
  const file = fileURLToPath(new URL('../../conformance/programs/attack.ts', import.meta.url));
  const child = spawn(process.execPath, [file, name, String(port)], { stdio: ['ignore', 'pipe', 'ignore'] });
  await once(child.stdout!, 'data');
  return child;
}

/**
 * Each attack on each proxy in turn. A bystander asks 200 times a second, each request at its time. The bar is the
 * proxy's own; what the peers make of the same attack is beside it.
 */
export async function attackRows(setup: Setup, tools: Tools, log: (line: string) => void): Promise<Row[]> {
  // It waits for the whole of a request: one that answers at once would send who stands still away, and back, without end.
  const upstream = await freePort();
  await setup.server('sink', upstream);
  const paths = await plainPaths(setup, tools, upstream, 20_000);
  const ask = async ({ port }: Path) => (await tool<{ p99: number }>('open-loop', port, RATE, SECONDS)).p99;
  for (const path of paths) await ask(path);
  // This origin has small answers only.
  const names = Object.keys(ATTACKS).filter((name) => !name.includes('large'));
  const factors = new Map(
    paths.map(({ name }) => [name, new Map(names.map((each) => [each, [] as number[]]))]),
  );
  for (let n = 1; n <= ROUNDS; n += 1) {
    for (const name of names) {
      for (const path of paths) {
        const before = await ask(path);
        const attackers = await besiege(name, path.port);
        // A bystander who was not answered at all counts as late without end.
        const during = await ask(path).catch(() => Number.POSITIVE_INFINITY);
        const ended = once(attackers, 'exit');
        attackers.kill('SIGKILL');
        await ended;
        factors
          .get(path.name)!
          .get(name)!
          .push(during / before);
        log(`${name}, ${path.name} round ${n}: p99 ${round(before, 2)} -> ${round(during, 2)} ms`);
      }
    }
  }
  const peers = paths.map(({ name }) => name).filter((name) => name !== 'weir');
  return names.flatMap((name) => {
    const of = (path: string) => round(median(factors.get(path)!.get(name)!), 2);
    const own = of('weir');
    return peers.map((peer, n) => ({
      name: `${name}: a bystander's p99, times that before / ${peer}`,
      value: own,
      unit: 'x',
      peer: of(peer),
      ...(n === 0 ? { bar: `< ${BAR}`, ok: own < BAR } : {}),
    }));
  });
}
