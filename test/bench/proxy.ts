// The proxy beside HAProxy and nginx: one thread each, alternating rounds in one run. Groups of rows, each alone with
// WEIR_BENCH_ROWS=NAME,NAME: http1 (small requests, plain and over two hops of mutual TLS; wrk), http2 (and gRPC; h2load,
// 8 connections x 16 streams), tcp and bodies (long streams, CPU per MiB), latency (added at 1,000 requests a second, just
// started and warm), handshakes (openssl s_time), attacks (what they do to others), memory. WEIR_TRANSPORT=portable measures that transport.
import { Authority, createRoot } from '../../src/mesh/identity/authority.ts';
import { createRequest } from '../../src/mesh/identity/client/csr.ts';
import { attackRows } from './proxy/attacks.ts';
import { handshakeRows } from './proxy/handshakes.ts';
import { http1Rows, origin, type Tools } from './proxy/http1.ts';
import { http2Rows } from './proxy/http2.ts';
import { latencyRows } from './proxy/latency.ts';
import { memoryRows } from './proxy/memory.ts';
import { find, ID, type Identity, Setup } from './proxy/setup.ts';
import { bodyRows, tcpRows } from './proxy/streams.ts';
import type { Bench, Row } from './row.ts';

const NAMES = ['wrk', 'nginx', 'haproxy', 'h2load', 'nghttpd', 'openssl'] as const;

type Log = (line: string) => void;

/** Programs that are installed. */
interface Installed extends Tools {
  h2load: string | undefined;
  nghttpd: string | undefined;
  openssl: string | undefined;
}

const groups: Record<string, (setup: Setup, tools: Installed, log: Log) => Promise<Row[]>> = {
  http1: async (setup, tools, log) => http1Rows(setup, tools, await identify(setup), log),
  http2: async (setup, { h2load, nghttpd, haproxy }, log) =>
    h2load && nghttpd ? http2Rows(setup, { h2load, nghttpd, haproxy }, await identify(setup), log) : [],
  tcp: tcpRows,
  bodies: bodyRows,
  latency: latencyRows,
  handshakes: async (setup, { openssl, nginx, haproxy }, log) =>
    openssl
      ? handshakeRows(
          setup,
          { openssl, nginx, haproxy },
          await origin(setup, nginx),
          await identify(setup),
          log,
        )
      : [],
  attacks: attackRows,
  memory: async (setup, tools, log) => memoryRows(setup, tools, await origin(setup, tools.nginx), log),
};

/** A certificate of a mesh made for this. */
async function identify(setup: Setup): Promise<Identity> {
  const authority = await Authority.load(await createRoot('weir.local'), { trustDomain: 'weir.local' });
  const { key, csr } = createRequest();
  const { certificate } = await authority.signRequest(csr, { spiffe: ID, dns: 'proxy.bench.weir.local' });
  const files = {
    certificate: setup.file('cert.pem', certificate),
    key: setup.file('key.pem', key),
    trust: setup.file('ca.pem', authority.bundle),
  };
  return { files, both: setup.file('both.pem', certificate + key) };
}

async function run({ log }: { log: Log }): Promise<Row[]> {
  const wanted = (process.env.WEIR_BENCH_ROWS ?? Object.keys(groups).join(',')).split(',');
  const unknown = wanted.find((each) => !(each in groups));
  if (unknown !== undefined)
    throw new Error(`WEIR_BENCH_ROWS: there is no ${unknown}, only ${Object.keys(groups).join(', ')}`);
  const found = Object.fromEntries(NAMES.map((name) => [name, find(name)])) as Record<
    (typeof NAMES)[number],
    string | undefined
  >;
  const rows: Row[] = NAMES.filter((name) => !found[name]).map((name) => ({
    name,
    value: 'absent',
    unit: '',
  }));
  rows.push({ name: 'WEIR_TRANSPORT', value: process.env.WEIR_TRANSPORT ?? 'not set', unit: '' });
  const { wrk, nginx } = found;
  if (!wrk || !nginx) return rows;
  for (const name of wanted) {
    // Each with processes of its own: what one group left in them is not what the next one measures.
    const setup = new Setup();
    try {
      rows.push(...(await groups[name]!(setup, { ...found, wrk, nginx }, log)));
    } finally {
      setup.stop();
    }
  }
  return rows;
}

export const bench: Bench = { summary: 'CPU per request and per MiB, latency and memory of the proxy', run };
