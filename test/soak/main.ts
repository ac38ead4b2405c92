/**
 * `npm run soak -- [--seconds 120] [--json]`: mixed traffic through two proxies with mutual TLS between them, while the mesh
 * changes and certificates are renewed. Ends with 1 when a request was lost, memory grew, or something stayed open.
 */
import { parseArgs } from 'node:util';
import { median, print, type Row } from '../bench/row.ts';
import { startApps } from './apps.ts';
import { Load } from './load.ts';
import { Mesh, SERVICES, type Sidecar } from './mesh.ts';
import { Starvation } from './starvation.ts';

const MB = 1_048_576;
/** Code is compiled and pools fill up before memory is looked at. */
const WARM_UP = 0.15;
const SAMPLES = 45;
const CHANGE_EVERY = 400;
/** By then the control plane has asked each proxy for a sign of life, and has one more connection from it. */
const SETTLED = 7_000;
/** Connections to the applications may lie idle for a minute. */
const EMPTIED = 90_000;
/** Ends of the pipes that a proxy keeps for the next long bodies. */
const PIPES = 8;
/** Growth from the first third to the last that is no leak: a share, and what measuring itself is off by. */
const FLAT = { share: 0.1, heap: 1.5 * MB, rss: 6 * MB };

interface Sample {
  heap: number;
  rss: number;
  descriptors: number;
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const round = (value: number) => Math.round(value * 100) / 100;

async function sample(sidecar: Sidecar): Promise<Sample> {
  const { heapUsed, external, rss } = await sidecar.memory();
  return { heap: heapUsed + external, rss, descriptors: sidecar.descriptors.others };
}

/** Weights move, and every now and then one leaf's pods are gone for a while; the other leaf always has a share. */
function change(mesh: Mesh, n: number): void {
  const name = SERVICES[n % SERVICES.length]!;
  if (n % 11 === 5) mesh.endpoints(name, 'b', false);
  else if (n % 11 === 8) for (const each of SERVICES) mesh.endpoints(each, 'b', true);
  else mesh.split(name, Math.floor(Math.random() * 91));
}

/** Until nothing is open but what was before the traffic; what still is. */
async function emptied(sidecar: Sidecar, before: { pipes: number; others: number }): Promise<string[]> {
  const end = Date.now() + EMPTIED;
  for (;;) {
    const { connections, inFlight, tcp } = await sidecar.open();
    const { pipes, others } = sidecar.descriptors;
    const counts = {
      connections,
      requests: inFlight,
      'TCP connections': tcp,
      'descriptors more': Math.max(0, others - before.others),
      'pipes more': Math.max(0, pipes - before.pipes - PIPES),
    };
    const left = Object.entries(counts).filter(([, count]) => count !== 0);
    if (left.length === 0 || Date.now() > end) return left.map(([what, count]) => `${count} ${what}`);
    await pause(200);
  }
}

/** Bodies in flight come and go, ten megabytes of them: what is kept shows when there are few. */
const fewInFlight = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 4)]!;
const MEMORY = {
  heap: { name: 'heap after collection (lower quartile)', of: fewInFlight },
  rss: { name: 'RSS', of: median },
};

function memoryRows(sidecar: Sidecar, samples: Sample[]): Row[] {
  const third = Math.floor(samples.length / 3);
  return (['heap', 'rss'] as const).map((what) => {
    const { name, of } = MEMORY[what];
    const first = of(samples.slice(0, third).map((each) => each[what]));
    const last = of(samples.slice(-third).map((each) => each[what]));
    return {
      name: `${sidecar.name}: ${name}, last third / first`,
      value: round(last / MB),
      unit: 'MB',
      peer: round(first / MB),
      ratio: round(last / first),
      bar: `<= 1 + ${FLAT.share} + ${round(FLAT[what] / MB)} MB`,
      ok: last <= first * (1 + FLAT.share) + FLAT[what],
    };
  });
}

async function soak(seconds: number, log: (line: string) => void): Promise<Row[]> {
  const apps = await startApps();
  // Renewed at 60 to 70 % of it: several times a run, or every half minute in a long one.
  const mesh = new Mesh(apps, Math.min(60_000, Math.max(15_000, (seconds * 1_000) / 4)));
  try {
    await mesh.start();
    for (const name of SERVICES) for (const leaf of ['a', 'b'] as const) mesh.endpoints(name, leaf, true);
    await pause(SETTLED);
    const before = mesh.sidecars.map((each) => each.descriptors);
    const starvation = new Starvation(mesh.sidecars);
    const load = new Load(mesh.ports);
    const begun = Date.now();
    let changes = 0;
    const changing = setInterval(() => {
      change(mesh, changes);
      changes += 1;
    }, CHANGE_EVERY);
    const samples: Sample[][] = mesh.sidecars.map(() => []);
    await pause(seconds * 1_000 * WARM_UP);
    const cpu = mesh.sidecars.map((each) => each.cpu);
    const renewed = mesh.certificates;
    for (let n = 1; n <= SAMPLES; n += 1) {
      const at = begun + seconds * 1_000 * (WARM_UP + ((1 - WARM_UP) * n) / SAMPLES);
      await pause(Math.max(0, at - Date.now()));
      for (const [index, each] of mesh.sidecars.entries()) samples[index]!.push(await sample(each));
      const [server, client] = samples.map((each) => each.at(-1)!);
      log(
        `${Math.round((Date.now() - begun) / 1_000)} s: heap ${round(client!.heap / MB)} and ${round(server!.heap / MB)} MB, ` +
          `RSS ${round(client!.rss / MB)} and ${round(server!.rss / MB)} MB, ` +
          `descriptors ${client!.descriptors} and ${server!.descriptors}, lost ${load.lost.length}`,
      );
    }
    const spent = mesh.sidecars.map((each, index) => each.cpu - cpu[index]!);
    clearInterval(changing);
    await load.stop();
    starvation.stop();
    for (const name of SERVICES) for (const leaf of ['a', 'b'] as const) mesh.endpoints(name, leaf, false);
    const rows: Row[] = [...load.done].map(([kind, count]) => ({
      name: kind,
      value: count,
      unit: 'done',
      bar: '> 0',
      ok: count > 0,
    }));
    const lost = load.lost.filter((each) => !starvation.explains(each));
    for (const each of new Set(load.lost.map(({ what }) => what))) log(`lost: ${each}`);
    rows.push(
      { name: 'requests lost', value: lost.length, unit: '', bar: '0', ok: lost.length === 0 },
      { name: 'lost, with no core for a proxy', value: load.lost.length - lost.length, unit: '' },
      { name: 'changes of the mesh', value: mesh.changes, unit: '' },
      {
        name: 'certificates renewed under traffic',
        value: mesh.certificates - renewed,
        unit: '',
        bar: '>= 2',
        ok: mesh.certificates - renewed >= 2,
      },
    );
    for (const [index, sidecar] of mesh.sidecars.entries()) {
      rows.push(...memoryRows(sidecar, samples[index]!));
      rows.push(
        { name: `${sidecar.name}: CPU`, value: round(spent[index]!), unit: 's' },
        { name: `${sidecar.name}: waited for a core`, value: round(starvation.waited[index]!), unit: 's' },
      );
      const left = await emptied(sidecar, before[index]!);
      rows.push({
        name: `${sidecar.name}: left open at the end`,
        value: left.join(', ') || 'nothing',
        unit: '',
        bar: 'nothing',
        ok: left.length === 0,
      });
    }
    return rows;
  } finally {
    await mesh.stop();
    apps.close();
  }
}

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '120' }, json: { type: 'boolean', default: false } },
});
const seconds = Number(values.seconds);
if (!(seconds >= 10)) {
  process.stderr.write(`--seconds ${values.seconds}: at least 10\n`);
  process.exit(2);
}
const rows = await soak(seconds, (line) => process.stderr.write(`${line}\n`));
print('soak', rows, values.json);
process.exit(rows.some(({ ok }) => ok === false) ? 1 : 0);
