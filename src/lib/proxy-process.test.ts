import { execFileSync } from 'node:child_process';
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

// Zero would be one for each core but one: 63 on a machine of 64.
test('V8 has one thread beside the main one, however many cores there are', () => {
  const pool = proxyFlags({}, false).filter((flag) => flag.startsWith('--v8-pool-size='));
  expect(pool).toEqual(['--v8-pool-size=1']);
  expect(execFileSync(process.execPath, [...pool, '-p', '1']).toString()).toBe('1\n');
});
