import { expect, test } from '@jest/globals';
import { proxyFlags } from './proxy-process.ts';

test('a sidecar holds no public authorities, unless it may need them', () => {
  const without = (env: NodeJS.ProcessEnv, sidecar = true) =>
    proxyFlags(env, sidecar).includes('--use-openssl-ca');
  expect(without({})).toBe(true);
  expect(without({ WEIR_TRACE_OTLP: 'http://c:4318', NODE_OPTIONS: '--inspect' })).toBe(true);
  expect(without({ WEIR_TRACE_OTLP: 'https://c/v1/traces' })).toBe(false);
  // Node takes only one of these.
  expect(without({ NODE_OPTIONS: '--use-system-ca' })).toBe(false);
  expect(without({ NODE_OPTIONS: '--use-bundled-ca --inspect' })).toBe(false);
  expect(without({}, false)).toBe(false);
});
