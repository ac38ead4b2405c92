import { expect, test } from '@jest/globals';
import { withoutPublicAuthorities } from './proxy.ts';

test('a sidecar holds no public authorities, unless it may need them', () => {
  expect(withoutPublicAuthorities({})).toEqual(['--use-openssl-ca']);
  expect(withoutPublicAuthorities({ WEIR_TRACE_OTLP: 'http://c:4318', NODE_OPTIONS: '--inspect' })).toEqual([
    '--use-openssl-ca',
  ]);
  expect(withoutPublicAuthorities({ WEIR_TRACE_OTLP: 'https://c/v1/traces' })).toEqual([]);
  // Node takes only one of these.
  expect(withoutPublicAuthorities({ NODE_OPTIONS: '--use-system-ca' })).toEqual([]);
  expect(withoutPublicAuthorities({ NODE_OPTIONS: '--use-bundled-ca --inspect' })).toEqual([]);
});
