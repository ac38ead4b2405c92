/** What an attack does to others: a bystander's p99 while it goes on, over that of the same bystander before. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { ATTACKS } from '../../conformance/support/http1-attacks.ts';
import { freePort } from '../../support/ports.ts';
import { median, type Row } from '../row.ts';
import type { Tools } from './http1.ts';
import { type Path, ROUNDS, round, tool } from './measure.ts';
import { route, type Setup } from './setup.ts';

const RATE = 200;
const SECONDS = 2;
const BAR = 2;
/** For HAProxy, which would allow for two descriptors each. */
const MAXCONN = 20_000;
/** Times that a proxy is asked for what it does in peace: what an attack has left behind may take it a while. */
const TRIES = 3;

interface Besieged extends Path {
  /** Where its bystander asks. */
  aside: number;
}

type Log = (line: string) => void;

/** Attackers in a process of their own, who have begun when this resolves. */
async function besiege(name: string, port: number): Promise<ChildProcess> {
  const file = fileURLToPath(new URL('../../conformance/programs/attack.ts', import.meta.url));
  const child = spawn(process.execPath, [file, name, String(port)], { stdio: ['pipe', 'pipe', 'ignore'] });
  await once(child.stdout!, 'data');
  return child;
}

/**
 * One proxy each, with a server that is attacked through it and another for the bystander: what an attack does to the server
 * that it is sent to (a million tiny chunks keep it busy for seconds) is none of the proxy's doing.
 */
async function besieged(
  setup: Setup,
  { nginx, haproxy }: Tools,
  attacked: number,
  own: number,
): Promise<Besieged[]> {
  const [one, two] = [await freePort(), await freePort()];
  const outbound = [
    { listen: `127.0.0.1:${one}`, destination: 'web' },
    { listen: `127.0.0.1:${two}`, destination: 'aside' },
  ];
  const destinations = { ...route(`127.0.0.1:${attacked}`), aside: route(`127.0.0.1:${own}`).web };
  const paths: Besieged[] = [
    { name: 'weir', port: one, aside: two, processes: [await setup.weir(one, { outbound, destinations })] },
  ];
  if (haproxy) {
    const [port, aside] = [await freePort(), await freePort()];
    const server = `127.0.0.1:${attacked}
frontend aside
  bind 127.0.0.1:${aside}
  default_backend aside
backend aside
  server s 127.0.0.1:${own}`;
    const processes = [await setup.haproxy(haproxy, '', server, port, [], MAXCONN)];
    paths.push({ name: 'haproxy', port, aside, processes });
  }
  const [port, aside] = [await freePort(), await freePort()];
  const pass = (to: string) =>
    `proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://${to};`;
  const pool = (name: string, to: number) =>
    `upstream ${name} { server 127.0.0.1:${to}; keepalive 1024; keepalive_requests 1000000000; }`;
  const extra = `${pool('u', attacked)} ${pool('a', own)} server { listen 127.0.0.1:${aside}; location / { ${pass('a')} } }`;
  paths.push({ name: 'nginx', port, aside, processes: [await setup.nginx(nginx, port, pass('u'), extra)] });
  return paths;
}

const ask = async ({ aside }: Besieged) =>
  (await tool<{ p99: number }>('open-loop', aside, RATE, SECONDS)).p99;

/** A bystander's p99 while nothing else is going on. */
async function inPeace(path: Besieged, log: Log): Promise<number> {
  for (let n = 1; n < TRIES; n += 1) {
    try {
      return await ask(path);
    } catch {
      log(`${path.name} does not answer in time although nobody attacks; asked again`);
    }
  }
  return ask(path);
}

/**
 * Each attack on each proxy in turn. A bystander asks 200 times a second, each request at its time. The bar is the
 * proxy's own; what the peers make of the same attack is beside it.
 */
export async function attackRows(setup: Setup, tools: Tools, log: Log): Promise<Row[]> {
  // It waits for the whole of a request: one that answers at once would send who stands still away, and back, without end.
  const [attacked, own] = [await freePort(), await freePort()];
  for (const port of [attacked, own]) await setup.server('sink', port);
  const paths = await besieged(setup, tools, attacked, own);
  for (const path of paths) await inPeace(path, log);
  // This origin has small answers only.
  const names = Object.keys(ATTACKS).filter((name) => !name.includes('large'));
  const factors = new Map(
    paths.map(({ name }) => [name, new Map(names.map((each) => [each, [] as number[]]))]),
  );
  for (let n = 1; n <= ROUNDS; n += 1) {
    for (const name of names) {
      for (const path of paths) {
        const before = await inPeace(path, log);
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
