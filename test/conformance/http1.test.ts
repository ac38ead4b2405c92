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

describe('HTTP/1.1, by section of the RFCs', () => {
  const proxies = new Proxies();
  const server = new RawServer();
  let port = 0;

  beforeAll(async () => {
    await server.start();
    port = await proxies.outbound(`127.0.0.1:${server.port}`, 'http1');
  });

  afterAll(async () => {
    await proxies.stop();
    server.stop();
  });

  test('there are at least 150, each with a name of its own', () => {
    expect(CASES.length).toBeGreaterThanOrEqual(150);
    expect(new Set(CASES.map(({ section, name }) => `${section}: ${name}`)).size).toBe(CASES.length);
  });

  test.each(CASES.map((each) => [`${each.section}: ${each.name}`, each] as const))('%s', async (_, each) => {
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
      expect(server.seen).toBe(expected(each) + tunnel);
    } else if (closes) {
      expect(await client.until(() => client.closed, SECONDS)).toBe(true);
      expect(server.seen).toBe(expected(each));
      if (answer !== undefined) expect(client.received).toBe(answer);
    } else {
      // The connection serves another request: whatever was wrong is over, and no byte of it is left.
      const before = answers.length;
      client.send(AFTER);
      await client.until(() => client.closed || came().length > before, SECONDS);
      expect(came()).toEqual([...answers, 200]);
      expect(server.seen).toBe(expected(each) + AFTER);
      if (answer !== undefined) expect(client.received).toBe(answer + OK);
    }
    client.destroy();
  });
});
