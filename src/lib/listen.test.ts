import { expect, test } from '@jest/globals';
import { parseListen } from './listen.ts';

test.each([
  ['127.0.0.1:9090', {}, { host: '127.0.0.1', port: 9090 }],
  ['localhost:0', {}, { host: 'localhost', port: 0 }],
  [':9090', {}, { host: '0.0.0.0', port: 9090 }],
  [':9090', { POD_IP: '10.0.0.7' }, { host: '10.0.0.7', port: 9090 }],
  ['127.0.0.1:9090', { POD_IP: '10.0.0.7' }, { host: '127.0.0.1', port: 9090 }],
  ['[::1]:443', {}, { host: '::1', port: 443 }],
])('%s with %j', (text, env, expected) => {
  expect(parseListen(text, env)).toEqual(expected);
});

test.each(['', '9090', 'host', 'host:', ':x', ':65536', '::1:80', '[::1]', ':-1'])('refuses "%s"', (text) => {
  expect(() => parseListen(text, {})).toThrow('write host:port');
});
