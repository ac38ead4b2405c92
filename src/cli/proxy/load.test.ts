import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { DEFAULT_LIMITS } from '../../mesh/proxy/runtime.ts';
import { parseProxyFile } from './load.ts';

const valid = `
outbound: [{listen: "127.0.0.1:8080", destination: web}]
destinations:
  web:
    backends: [{name: stable, endpoints: [{address: "127.0.0.1:9001"}]}]
    policy: {timeout: 1m30s, fault: {delay: {percent: 5, for: 100ms}}}
limits: {headerDeadline: 2s}
`;

test('durations become milliseconds, defaults are filled in', () => {
  const config = parseProxyFile(valid, '/etc/weir/proxy.yaml');
  expect(config.destinations.web).toMatchObject({
    key: 'web',
    protocol: 'detect',
    backends: [{ name: 'stable', weight: 1 }],
    policy: { timeout: 90_000, fault: { delay: { percent: 5, for: 100 } } },
  });
  expect(config.limits).toEqual({ headDeadline: 2_000 });
});

test('every limit of a proxy can be given, and says what it limits', () => {
  const durations = {
    headerDeadline: 'headDeadline',
    keepAliveIdle: 'keepAliveIdle',
    idle: 'tcpIdle',
    bodyIdle: 'bodyIdle',
    linger: 'linger',
    pooledIdle: 'pooledIdle',
    connectTimeout: 'connectTimeout',
    detectTimeout: 'detectTimeout',
    handshakeTimeout: 'handshakeTimeout',
    windowStall: 'windowStall',
    http2Idle: 'http2Idle',
    pingAfter: 'pingAfter',
    pongWithin: 'pongWithin',
  };
  const numbers = {
    headerBytes: 'bytes',
    headerCount: 'count',
    requestLine: 'startLine',
    replay: 'replay',
    inFlight: 'inFlight',
    connections: 'connections',
    streams: 'streams',
    continuations: 'continuations',
    unread: 'unread',
    output: 'output',
    backlog: 'backlog',
  };
  const budgets = ['resets', 'control'];
  const written = {
    ...Object.fromEntries(Object.keys(durations).map((key, n) => [key, `${n + 1}s`])),
    ...Object.fromEntries(Object.keys(numbers).map((key, n) => [key, 70_000 + n])),
    headerCount: 100,
    continuations: 10,
    ...Object.fromEntries(budgets.map((key) => [key, { burst: 20, perSecond: 2 }])),
  };
  const { limits } = parseProxyFile(
    valid.replace('{headerDeadline: 2s}', JSON.stringify(written)),
    'proxy.yaml',
  );
  expect(limits).toEqual({
    ...Object.fromEntries(Object.values(durations).map((name, n) => [name, (n + 1) * 1_000])),
    ...Object.fromEntries(Object.values(numbers).map((name, n) => [name, 70_000 + n])),
    count: 100,
    continuations: 10,
    ...Object.fromEntries(budgets.map((name) => [name, [20, 2]])),
  });
  expect(Object.keys(limits).sort()).toEqual(Object.keys(DEFAULT_LIMITS).sort());
  // And the table in the documentation has them all.
  const doc = readFileSync(join(import.meta.dirname, '../../../docs/proxy.md'), 'utf8');
  const table = doc.slice(doc.indexOf('## Limits'), doc.indexOf('## Transport'));
  for (const key of Object.keys(written)) expect(table).toContain(`\`${key}\``);
});

test('tracing, the access log and the zone are off unless given; a log is beside its file', () => {
  expect(parseProxyFile(valid, '/etc/weir/proxy.yaml')).not.toMatchObject({ tracing: expect.anything() });
  const more = 'tracing: {otlp: "http://c:4318/v1/traces"}\naccessLog: {file: log.json}\nzone: a\n';
  expect(parseProxyFile(valid + more, '/etc/weir/proxy.yaml')).toMatchObject({
    tracing: { otlp: 'http://c:4318/v1/traces', sample: 0.01 },
    accessLog: { file: '/etc/weir/log.json' },
    zone: 'a',
  });
  expect(parseProxyFile(`${valid}accessLog: {}\n`, 'proxy.yaml').accessLog).toEqual({ file: '-' });
  const bad = 'tracing: {otlp: "collector:4318", sample: 2}\n';
  expect(() => parseProxyFile(valid + bad, 'proxy.yaml')).toThrow(
    /tracing\.otlp: write a URL.*\n.*tracing\.sample: a share is 0 to 1/,
  );
});

describe('a problem is named by its field and what to write', () => {
  test.each([
    ['timeout: 1m30s', 'timeout: 90', 'destinations.web.policy.timeout: '],
    ['percent: 5', 'percent: 500', 'destinations.web.policy.fault.delay.percent: a percentage is 0 to 100'],
    [
      'destination: web',
      'destination: wbe',
      'outbound[0].destination: "wbe" is not among destinations (web)',
    ],
    ['127.0.0.1:9001', 'localhost', 'destinations.web.backends[0].endpoints[0].address: write host:port'],
    ['limits:', 'limit:', 'limit'],
    ['outbound: [{listen: "127.0.0.1:8080", destination: web}]', '', 'there is nothing to listen on'],
    ['outbound:', 'inbound: [{listen: ":1", forward: ":2"}]\noutbound:', 'inbound[0].tls: needs identity'],
  ])('%s -> %s', (good, bad, message) => {
    expect(() => parseProxyFile(valid.replace(good, bad), 'proxy.yaml')).toThrow(message);
  });
});
