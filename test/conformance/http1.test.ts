/** The HTTP/1.1 matrix: every case to a running proxy, with a raw server behind it that records what reaches it. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Case, NONE, OK, SAME } from './http1/case.ts';
import { CASES } from './http1/cases.ts';
import { RawClient, RawServer, statuses } from './http1/wire.ts';
import { Proxies } from './support/proxies.ts';

const AFTER = 'GET /after HTTP/1.1\r\nHost: a\r\n\r\n';
const SECONDS = 10_000;

const expected = ({ upstream, answers, send }: Case): string => {
  if (typeof upstream === 'string') return upstream;
  const forwarded = upstream === SAME || (answers[0] !== 'closed' && answers[0]! < 300);
  return forwarded ? send : NONE;
};

/** Requests in flight to a peer from which on HTTP/1.1 goes in lanes of one connection. */
const BUSY = 6;
/** What a proxy in front of an application adds: who is calling. */
const CALLER = /weir-client-id: [^\r]*\r\n/g;

test('there are at least 150, each with a name of its own', () => {
  expect(CASES.length).toBeGreaterThanOrEqual(150);
  expect(new Set(CASES.map(({ section, name }) => `${section}: ${name}`)).size).toBe(CASES.length);
});

interface Way {
  start: (proxies: Proxies, upstream: string) => Promise<number>;
  /** Proxies with identities between client and server: the server is told who calls. */
  secure?: boolean;
  /** The path is busy: others wait for answers at the same time. */
  busy?: boolean;
}

const twoHops = async (proxies: Proxies, upstream: string) => {
  const inner = await proxies.inbound(upstream, 'required', {}, 'http1');
  return proxies.toPeer(inner, 'http1');
};
const WAYS: Record<string, Way> = {
  outbound: { start: (proxies, upstream) => proxies.outbound(upstream, 'http1') },
  inbound: { start: (proxies, upstream) => proxies.inbound(upstream, 'off', {}, 'http1') },
  'two hops of mutual TLS': { start: twoHops, secure: true },
  'two hops of mutual TLS, in lanes': { start: twoHops, secure: true, busy: true },
};

describe.each(Object.entries(WAYS))(
  'HTTP/1.1, by section of the RFCs: %s',
  (_way, { start, secure, busy }) => {
    const proxies = new Proxies();
    const server = new RawServer();
    const others: RawClient[] = [];
    let port = 0;

    /** What has reached the server, but for who calls, which each head says (the last may belong to a request that is not whole). */
    const seen = () => {
      if (!secure) return server.seen;
      const callers = server.seen.match(CALLER)?.length ?? 0;
      expect([server.requests, server.requests + 1]).toContain(callers);
      return server.seen.replace(CALLER, '');
    };

    beforeAll(async () => {
      await server.start();
      port = await start(proxies, `127.0.0.1:${server.port}`);
      if (!busy) return;
      for (let n = 1; n <= BUSY + 2; n += 1) {
        const other = new RawClient(port);
        others.push(other);
        other.send('GET /held HTTP/1.1\r\nHost: a\r\n\r\n');
        await other.until(() => server.held === n || other.closed, SECONDS);
        expect(server.held).toBe(n);
      }
    });

    afterAll(async () => {
      for (const other of others) other.destroy();
      await proxies.stop();
      server.stop();
    });

    test.each(CASES.map((each) => [`${each.section}: ${each.name}`, each] as const))(
      '%s',
      async (_, each) => {
        const { send, answers, closes, reply = OK, replyCloses = false, answer, tunnel } = each;
        server.expect(reply, replyCloses);
        const client = new RawClient(port);
        const bodiless = send.startsWith('HEAD ');
        const came = () => statuses(client.received, bodiless);
        client.send(send);
        await client.until(() => client.closed || came().length >= answers.length, SECONDS);
        expect(came()).toEqual(answers.filter((status) => status !== 'closed'));
        if (tunnel !== undefined) {
          client.send(tunnel);
          await client.until(() => client.received.endsWith(tunnel), SECONDS);
          expect(client.received).toBe(answer + tunnel);
          expect(seen()).toBe(expected(each) + tunnel);
        } else if (closes) {
          expect(await client.until(() => client.closed, SECONDS)).toBe(true);
          expect(seen()).toBe(expected(each));
          if (answer !== undefined) expect(client.received).toBe(answer);
        } else {
          // The connection serves another request: whatever was wrong is over, and no byte of it is left.
          const before = answers.length;
          client.send(AFTER);
          await client.until(() => client.closed || came().length > before, SECONDS);
          expect(came()).toEqual([...answers, 200]);
          expect(seen()).toBe(expected(each) + AFTER);
          if (answer !== undefined) expect(client.received).toBe(answer + OK);
        }
        client.destroy();
      },
    );
  },
);
