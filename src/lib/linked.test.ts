import { getEventListeners } from 'node:events';
import { expect, test } from '@jest/globals';
import { linked } from './linked.ts';

test('ends with the signal, for its reason, at once if that has ended, and not the other way about', () => {
  const long = new AbortController();
  const { own } = linked(long.signal);
  const other = linked(long.signal);
  other.own.abort();
  expect([own.signal.aborted, long.signal.aborted]).toEqual([false, false]);
  const reason = new Error('stopped');
  long.abort(reason);
  expect(own.signal.reason).toBe(reason);
  expect(linked(long.signal).own.signal.reason).toBe(reason);
});

test('unlinked, it goes its own way and leaves nothing with the signal', () => {
  const long = new AbortController();
  const { own, unlink } = linked(long.signal);
  expect(getEventListeners(long.signal, 'abort')).toHaveLength(1);
  unlink();
  expect(getEventListeners(long.signal, 'abort')).toHaveLength(0);
  long.abort();
  expect(own.signal.aborted).toBe(false);
});
