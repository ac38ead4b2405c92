/**
 * HTTP/1.1 attacks on a running proxy. Meanwhile others are served; afterwards the proxy is there and no larger, and
 * whoever is slow on purpose has been cut off by the limits on time.
 */
import { readdirSync, readFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ATTACKS, attack } from './support/http1-attacks.ts';
import { Proxies } from './support/proxies.ts';

const DURATION = 1_000;
/** Buffers of the attackers' connections, and young garbage. */
const GROWTH = 64 * 1_048_576;
const LIMITS = { headerDeadline: '1s', bodyIdle: '1s', keepAliveIdle: '2s', connections: 2_000 };

const rss = (pid: number) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
const descriptors = (pid: number) => readdirSync(`/proc/${pid}/fd`).length;
/** Seconds of processor time. */
const cpu = (pid: number) => {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
};
const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;

(process.platform === 'linux' ? describe : describe.skip)('HTTP/1.1 attacks', () => {
  const proxies = new Proxies();
  const large = Buffer.alloc(33_554_432);
  const medium = Buffer.alloc(60_000);
  const server = http.createServer((request, response) => {
    request.resume();
    request.on('error', () => {});
    response.on('error', () => {});
    response.end(request.url === '/large' ? large : request.url === '/medium' ? medium : 'ok');
  });
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  let port = 0;
  let pid = 0;

  const ask = () =>
    new Promise<number>((resolve, reject) => {
      const began = performance.now();
      http
        .get({ port, host: '127.0.0.1', agent, timeout: 10_000 }, (response) => {
          response.resume();
          response.on('end', () => {
            if (response.statusCode === 200) resolve(performance.now() - began);
            else reject(new Error(`${response.statusCode}`));
          });
        })
        .on('error', reject);
    });
  const windowOf = async (until: number) => {
    const latencies = [await ask()];
    while (Date.now() < until) latencies.push(await ask());
    return latencies;
  };

  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = await proxies.outbound(
      `127.0.0.1:${(server.address() as AddressInfo).port}`,
      'http1',
      undefined,
      LIMITS,
    );
    pid = proxies.last.pid!;
    for (let n = 0; n < 500; n += 1) await ask();
  });

  afterAll(async () => {
    agent.destroy();
    await proxies.stop();
    server.closeAllConnections();
    server.close();
  });

  test.each(Object.entries(ATTACKS))('%s', async (name, each) => {
    await ask();
    const [files, size, used] = [descriptors(pid), rss(pid), cpu(pid)];
    const until = Date.now() + DURATION;
    const attackers = Promise.all(Array.from({ length: each.connections }, () => attack(port, each, until)));
    const during = await windowOf(until);
    const spent = cpu(pid) - used;
    await attackers;
    const after = await windowOf(Date.now() + 100);
    const growth = rss(pid) - size;
    process.stderr.write(
      `${name}: ${(growth / 1_048_576).toFixed(0)} MB, ${spent.toFixed(2)} s of CPU, ${during.length} of others, ` +
        `median ${median(during).toFixed(1)} ms, then ${median(after).toFixed(1)} ms\n`,
    );
    expect(growth).toBeLessThan(GROWTH);
    // Generous: attackers, server and bystander share one process, and the machine with the proxy.
    expect(median(during)).toBeLessThan(1_500);
    // Nothing of them is left.
    const end = Date.now() + 10_000;
    while (descriptors(pid) > files + 5 && Date.now() < end) await ask();
    expect(descriptors(pid)).toBeLessThanOrEqual(files + 5);
  });
});
