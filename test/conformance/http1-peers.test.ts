/**
 * The HTTP/1.1 matrix to HAProxy and nginx as well: docs/conformance.md says where and why Weir differs, and is held to it.
 * `WEIR_UPDATE=1` writes its table.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
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
const comparable = versions.haproxy !== undefined && versions.nginx !== undefined;
const documented = update || doc.includes(TITLE);
if (!comparable || !documented)
  process.stderr.write(
    'skipped: docs/conformance.md is about other versions of HAProxy and nginx than are here\n',
  );

const show = ({ answers, requests }: Outcome) => {
  if (requests === 0) return answers;
  return `${answers}, ${requests} forwarded`;
};

/** A fault at the very end of a message that a peer forwards as it comes: what it does depends on what it has read by then. */
const EITHER: Record<string, string[]> = {
  'haproxy: trailer with a space before its colon': ['200, 1 forwarded', '400'],
};

(comparable && documented ? describe : describe.skip)('HTTP/1.1 beside HAProxy and nginx', () => {
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

  /** The table as everybody answers now. */
  async function differences(): Promise<string> {
    const run = async (at: number, behind: RawServer) => {
      const all: Outcome[] = [];
      for (const each of CASES) all.push(await outcome(at, behind, each));
      return all;
    };
    const results = await Promise.all([
      run(port, server),
      ...peers.map((peer) => run(peer.port, peer.server)),
    ]);
    const lines: string[] = [];
    let section = '';
    CASES.forEach((each, n) => {
      const cells = results.map((all, column) => {
        const cell = show(all[n]!);
        const either = EITHER[`${['weir', 'haproxy', 'nginx'][column]}: ${each.name}`];
        return either?.includes(cell) ? either.join(' or ') : cell;
      });
      if (cells.every((cell) => cell === cells[0])) return;
      if (each.section !== section) {
        section = each.section;
        lines.push('', `### ${section}`, '', TITLE, '|---|---|---|---|');
        if (!update) expect(doc).toContain(`**${section}.**`);
      }
      lines.push(`| ${each.name.replaceAll('|', '\\|')} | ${cells.join(' | ')} |`);
    });
    return lines.join('\n').trim();
  }

  test('the table of differences is what it says', async () => {
    const [from, to] = [doc.indexOf(BEGIN) + BEGIN.length, doc.indexOf(END)];
    const said = doc.slice(from, to).trim();
    const table = await differences();
    if (update) writeFileSync(DOC, `${doc.slice(0, from)}\n${table}\n\n${doc.slice(to)}`);
    else expect(said).toBe(table);
  }, 580_000);
});
