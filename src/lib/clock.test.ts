import { expect, test } from '@jest/globals';
import { systemClock } from './clock.ts';

test('a sleep longer than one timer can hold does not end at once', async () => {
  const stop = new AbortController();
  const asleep = systemClock.sleep(90 * 86_400_000, stop.signal).then(
    () => 'woke',
    () => 'aborted',
  );
  expect(await Promise.race([asleep, systemClock.sleep(20)])).toBeUndefined();
  stop.abort();
  expect(await asleep).toBe('aborted');
});
