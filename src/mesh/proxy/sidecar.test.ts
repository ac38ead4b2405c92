import { describe, expect, test } from '@jest/globals';
import { silentLogger } from '../../lib/log.ts';
import { Interception } from './intercept/index.ts';
import { DataPlane } from './proxy.ts';
import { DEFAULT_LIMITS } from './runtime.ts';
import { sidecarConfig } from './sidecar.ts';
import { PortableTransport } from './transport/portable/portable.ts';

const env = {
  POD_IP: '10.0.0.1',
  POD_NAME: 'web-1',
  POD_NAMESPACE: 'shop',
  SERVICE_ACCOUNT: 'web',
  WEIR_INBOUND: '[{"listen":4143,"forward":8080}]',
};
const intercept = { outbound: 4140, inbound: 4143, uid: 2102, opaque: [{ from: 25, to: 25 }] };

describe('the environment', () => {
  test('names explicit listeners, or the ports to which everything is sent', () => {
    expect(sidecarConfig(env)).toMatchObject({
      inbound: [{ listen: ':4143', forward: '10.0.0.1:8080', tls: 'required' }],
    });
    expect(sidecarConfig(env).intercept).toBeUndefined();
    const { POD_IP, POD_NAMESPACE, SERVICE_ACCOUNT } = env;
    const own = { POD_IP, POD_NAMESPACE, SERVICE_ACCOUNT, WEIR_INTERCEPT: JSON.stringify(intercept) };
    expect(sidecarConfig(own)).toMatchObject({
      inbound: [],
      outbound: [],
      intercept: { ...intercept, name: 'web.shop.weir.local' },
    });
  });

  test('says where spans and the access log go, and in which zone this is', () => {
    const plain = sidecarConfig(env);
    expect([plain.tracing, plain.accessLog, plain.zone]).toEqual([undefined, undefined, undefined]);
    const WEIR_TRACE_OTLP = 'http://c:4318/v1/traces';
    expect(
      sidecarConfig({ ...env, WEIR_TRACE_OTLP, WEIR_ACCESS_LOG: 'stdout', WEIR_ZONE: 'a' }),
    ).toMatchObject({
      tracing: { otlp: WEIR_TRACE_OTLP, sample: 0.01 },
      accessLog: { file: '-' },
      zone: 'a',
    });
  });

  test('limits the proxy that is started with it', () => {
    expect(sidecarConfig(env).limits).toEqual({});
    const limits = {
      bytes: 2_048,
      bodyIdle: 60_000,
      inFlight: 5,
      resets: [10, 1],
      backlog: 70_000,
      replay: 0,
    };
    const config = sidecarConfig({ ...env, WEIR_LIMITS: JSON.stringify(limits) });
    expect(config.limits).toEqual(limits);
    const { runtime } = new DataPlane({ transport: new PortableTransport(), log: silentLogger, config });
    expect(runtime.limits).toMatchObject({
      bodyIdle: 60_000,
      inFlight: 5,
      replay: 0,
      connections: DEFAULT_LIMITS.connections,
      http2: { headerList: 2_048, resets: [10, 1], backlog: { most: 70_000 } },
    });
  });

  test('takes every limit that there is', () => {
    expect(sidecarConfig({ ...env, WEIR_LIMITS: JSON.stringify(DEFAULT_LIMITS) }).limits).toEqual(
      DEFAULT_LIMITS,
    );
  });

  test.each([
    [{ WEIR_LIMITS: '{"byte":5}' }, /WEIR_LIMITS: there is no limit byte/],
    [{ WEIR_LIMITS: '{"bytes":"5"}' }, /WEIR_LIMITS: bytes cannot be "5"/],
    [{ WEIR_LIMITS: '{"resets":5}' }, /WEIR_LIMITS: resets cannot be 5/],
    [{ WEIR_LIMITS: '{"inFlight":-1}' }, /WEIR_LIMITS: inFlight cannot be -1/],
    [{ WEIR_LIMITS: '[]' }, /WEIR_LIMITS is not a JSON object/],
    [{ WEIR_LIMITS: 'many' }, /WEIR_LIMITS is not a JSON object/],
    [{ WEIR_TRACE_OTLP: 'collector:4318' }, /WEIR_TRACE_OTLP is no http or https URL/],
    [{ WEIR_TRACE_SAMPLE: '2' }, /WEIR_TRACE_SAMPLE is a share, 0 to 1/],
    [{ WEIR_INTERCEPT: '{"outbound":4140}' }, /WEIR_INTERCEPT does not name outbound, inbound and uid/],
    [{ WEIR_INTERCEPT: 'yes' }, /WEIR_INTERCEPT does not name/],
    [{ WEIR_INTERCEPT: JSON.stringify(intercept), SERVICE_ACCOUNT: '' }, /SERVICE_ACCOUNT is not set/],
    [{ WEIR_INBOUND: '{}' }, /WEIR_INBOUND is not a JSON list/],
    [{ POD_IP: '' }, /POD_IP is not set: the injector sets it/],
  ])('that is wrong is named: %j', (wrong, message) => {
    expect(() => sidecarConfig({ ...env, ...wrong })).toThrow(message);
  });
});

test('a proxy that the rules would send back to itself does not start', () => {
  const plane = new DataPlane({
    transport: new PortableTransport(),
    log: silentLogger,
    config: { inbound: [], outbound: [], destinations: {}, limits: {} },
  });
  const config = { ...intercept, uid: process.getuid!() + 1, name: 'web.shop.weir.local' };
  const start = () =>
    new Interception({ plane, config, adminPort: 4191, directory: { follow() {}, unfollow() {} } });
  expect(start).toThrow(/this proxy is user \d+ and would be its own client for ever/);
});
