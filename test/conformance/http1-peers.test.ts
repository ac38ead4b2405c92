/**
 * The HTTP/1.1 matrix to HAProxy and nginx as well: docs/conformance.md says where and why Weir differs, and is held to it.
 * `WEIR_UPDATE=1` writes its table.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { skipped } from '../support/skipped.ts';
import { CASES } from './http1/cases.ts';
import { type Outcome, outcome, Peer, version } from './http1/peers.ts';
import { RawServer } from './http1/wire.ts';
import { Proxies } from './support/proxies.ts';

const DOC = join(import.meta.dirname, '../../docs/conformance.md');
const [BEGIN, END] = ['<!-- table -->\n', '<!-- end of table -->\n'];
const versions = { haproxy: version('haproxy'), nginx: version('nginx') };
const TITLE = `| case | Weir | HAProxy ${versions.haproxy} | nginx ${versions.nginx} |`;
const doc = readFileSync(DOC, 'utf8');
const update = process.env.WEIR_UPDATE === '1';
/** Of other versions than the documented ones, only what Weir does is held to the table. */
const documented = update || doc.includes(TITLE);
const missing = Object.entries(versions).filter(([, each]) => each === undefined);
if (missing.length > 0)
  skipped(`there is no ${missing.map(([name]) => name).join(' and no ')} to compare with`);

const show = ({ answers, requests }: Outcome) => {
  if (requests === 0) return answers;
  return `${answers}, ${requests} forwarded`;
};

/** A fault at the very end of a message that a peer forwards as it comes: what it does depends on what it has read by then. */
const EITHER: Record<string, string[]> = {
  'haproxy: trailer with a space before its colon': ['200, 1 forwarded', '400'],
};

(missing.length === 0 ? describe : describe.skip)('HTTP/1.1 beside HAProxy and nginx', () => {
  const proxies = new Proxies();
  const peers: Peer[] = [];
  const server = new RawServer();
  let port = 0;

  beforeAll(async () => {
    await server.start();
    port = await proxies.outbound(`127.0.0.1:${server.port}`, 'http1');
    for (const name of ['haproxy', 'nginx'] as const) peers.push(await new Peer().start(name, proxies));
  });

  afterAll(async () => {
    await proxies.stop();
    for (const peer of [...peers]) peer.stop();
    server.stop();
  });

  /** What each of the three does, where that is not the same. */
  async function differences(): Promise<{ section: string; name: string; cells: string[] }[]> {
    const run = async (at: number, behind: RawServer) => {
      const all: Outcome[] = [];
      for (const each of CASES) all.push(await outcome(at, behind, each));
      return all;
    };
    const results = await Promise.all([
      run(port, server),
      ...peers.map((peer) => run(peer.port, peer.server)),
    ]);
    return CASES.map(({ section, name }, n) => {
      const cells = results.map((all, column) => {
        const cell = show(all[n]!);
        const either = EITHER[`${['weir', 'haproxy', 'nginx'][column]}: ${name}`];
        return either?.includes(cell) ? either.join(' or ') : cell;
      });
      return { section, name: name.replaceAll('|', '\\|'), cells };
    }).filter(({ cells }) => cells.some((cell) => cell !== cells[0]));
  }

  const row = (name: string, cells: readonly string[]) => `| ${name} | ${cells.join(' | ')} |`;
  function tableOf(rows: Awaited<ReturnType<typeof differences>>): string {
    const lines: string[] = [];
    for (const [n, { section, name, cells }] of rows.entries()) {
      if (section !== rows[n - 1]?.section) lines.push('', `### ${section}`, '', TITLE, '|---|---|---|---|');
      lines.push(row(name, cells));
    }
    return lines.join('\n').trim();
  }

  test('the table of differences is what it says', async () => {
    const [from, to] = [doc.indexOf(BEGIN) + BEGIN.length, doc.indexOf(END)];
    const said = doc.slice(from, to).trim();
    const rows = await differences();
    if (update) return writeFileSync(DOC, `${doc.slice(0, from)}\n${tableOf(rows)}\n\n${doc.slice(to)}`);
    if (documented) {
      for (const { section } of rows) expect(doc).toContain(`**${section}.**`);
      return expect(said).toBe(tableOf(rows));
    }
    const others = Object.entries(versions).map(([name, each]) => `${name} ${each}`);
    process.stderr.write(`docs/conformance.md is about other versions than ${others.join(' and ')}:\n`);
    for (const { name, cells } of rows) {
      if (said.includes(row(name, cells))) continue;
      process.stderr.write(`  now ${row(name, cells)}\n`);
      const before = said.split('\n').find((line) => line.startsWith(`| ${name} |`));
      if (before !== undefined) expect([name, cells[0]]).toEqual([name, before.split(' | ')[1]]);
    }
  }, 580_000);
});
