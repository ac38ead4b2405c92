/**
 * HTTP/2 attacks on a running proxy: each for seconds from four connections that come again when they are cut off.
 * Meanwhile a bystander's requests must all be answered, and afterwards the proxy must be there and no larger.
 */
import { once } from 'node:events';
import http2 from 'node:http2';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ATTACKS, attack, UNREAD } from './support/http2-attacks.ts';
import { Proxies, type Running } from './support/proxies.ts';
import { origin, rss, withstand } from './support/siege.ts';

const SECOND = 1_000;
/** Growth that is no leak: buffers of the attackers' connections, young garbage. */
const GROWTH = 96 * 1_048_576;
/** Where bodies wait: what the proxy lets wait (32 MiB), and what V8 lets pile up of such buffers before it collects them. */
const GROWTH_OF_BODIES = 192 * 1_048_576;
const LIMITS = { bodyIdle: '1s', http2Idle: '2s' };
/** Send little: streams that stand still. */
const QUIET = new Set(['streams that never end (slowloris)']);

const megabytes = (bytes: number) => `${(bytes / 1_048_576).toFixed(0)} MB`;

async function get(session: http2.ClientHttp2Session): Promise<void> {
  const stream = session.request({ ':path': '/' });
  stream.resume();
  const [headers] = await once(stream, 'response');
  await once(stream, 'close');
  if (headers[':status'] !== 200) throw new Error(`${headers[':status']}`);
}

(process.platform === 'linux' ? describe : describe.skip)('HTTP/2 attacks', () => {
  const proxies = new Proxies();
  const servers: Awaited<ReturnType<typeof origin>>[] = [];
  let proxy: Running;
  /** Of somebody else's listener, with a server that the attacks do not reach. */
  let other = 0;

  beforeAll(async () => {
    for (let n = 0; n < 2; n += 1) servers.push(await origin('http2'));
    const upstreams = servers.map(({ port }) => `127.0.0.1:${port}`);
    const ports = await proxies.outbounds(upstreams, 'http2', LIMITS);
    proxy = proxies.running(ports[0]!);
    other = ports[1]!;
    // The same responses, read: what V8 lets pile up before it collects buffers (64 MiB) is no attack's doing.
    const idle = rss(proxy.pid);
    const until = Date.now() + SECOND;
    const reading = { ...ATTACKS[UNREAD]!, deaf: false };
    await Promise.all(Array.from({ length: 4 }, () => attack(proxy, reading, until)));
    process.stderr.write(`reading the same: ${megabytes(rss(proxy.pid) - idle)}\n`);
  });

  afterAll(async () => {
    await proxies.stop();
    for (const server of servers) server.stop();
  });

  test.each(Object.entries(ATTACKS))('%s', async (name, { cause }) => {
    const session = http2.connect(`http://127.0.0.1:${other}`);
    await once(session, 'connect');
    const ask = () => get(session);
    for (let n = 0; n < 20; n += 1) await ask();
    // Of bodies so long that a proxy without a limit would have taken gigabytes by then.
    const bodies = name === UNREAD;
    const milliseconds = (bodies ? 4 : 2) * SECOND;
    const growth = bodies ? GROWTH_OF_BODIES : GROWTH;
    const siege = { name, proxy, ask, cause, quiet: QUIET.has(name), milliseconds, growth };
    const [size] = [rss(proxy.pid), await withstand(siege)];
    const after = rss(proxy.pid);
    // Attacked once more it takes no more.
    if (bodies) {
      await withstand(siege);
      expect(rss(proxy.pid) - Math.max(size, after)).toBeLessThan(GROWTH);
    }
    session.destroy();
    // What was attacked is there, too.
    const again = http2.connect(`http://127.0.0.1:${proxy.port}`);
    await get(again);
    again.destroy();
  });
});
