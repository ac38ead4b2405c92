import { expect, test } from '@jest/globals';
import type { KubeObject } from '../api/meta.ts';
import { AppError } from '../lib/errors.ts';
import { OwnWrites } from './own-writes.ts';

const object = (resourceVersion: string, uid = 'u'): KubeObject => ({
  metadata: { name: 'web', namespace: 'shop', uid, resourceVersion },
});

function given(live?: KubeObject) {
  let cached: KubeObject | undefined = object('5');
  const writes = new OwnWrites<KubeObject>({ cached: () => cached, read: async () => live });
  const show = (next: KubeObject | undefined) => {
    cached = next;
  };
  return { writes, show };
}

test('an own write counts until the cache shows it or something newer, and not for another object', async () => {
  const { writes, show } = given();
  await writes.write('shop/web', async () => object('10'));
  expect(writes.current('shop/web')).toEqual(object('10'));
  // As numbers: 9 is older than 10.
  show(object('9'));
  expect(writes.current('shop/web')).toEqual(object('10'));
  show(object('11'));
  expect(writes.current('shop/web')).toEqual(object('11'));
  await writes.write('shop/web', async () => object('12'));
  show(object('3', 'another'));
  expect(writes.current('shop/web')).toEqual(object('3', 'another'));
  show(undefined);
  expect(writes.current('shop/web')).toBeUndefined();
});

test('after a conflict the live object is believed, after another error nothing is', async () => {
  const { writes } = given(object('20'));
  const failing = (code: 'Conflict' | 'Unavailable') =>
    writes.write('shop/web', () => Promise.reject(new AppError(code, 'no')));
  await expect(failing('Unavailable')).rejects.toThrow('no');
  expect(writes.current('shop/web')).toEqual(object('5'));
  await expect(failing('Conflict')).rejects.toThrow('no');
  expect(writes.current('shop/web')).toEqual(object('20'));
});
