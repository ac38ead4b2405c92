import { expect, jest, test } from '@jest/globals';
import { SettlingVersion } from './settling.ts';

function settling() {
  const told: (string | undefined)[] = [];
  const version = new SettlingVersion(() => told.push(version.current), [2_000, 10_000]);
  return { version, told };
}

test('what was there at the start is settled, a change is told again when API servers have taken it in', () => {
  jest.useFakeTimers();
  try {
    const { version, told } = settling();
    version.seen('a');
    version.seen('b');
    jest.advanceTimersByTime(1_999);
    expect(told).toEqual(['a', 'b~0']);
    jest.advanceTimersByTime(1);
    expect(version.current).toBe('b~1');
    version.seen('b');
    jest.advanceTimersByTime(60_000);
    expect(told).toEqual(['a', 'b~0', 'b~1', 'b']);
  } finally {
    jest.useRealTimers();
  }
});

test('a change in the midst starts over, and nothing is told after stop', () => {
  jest.useFakeTimers();
  try {
    const { version, told } = settling();
    version.seen('a');
    version.seen('b');
    jest.advanceTimersByTime(3_000);
    // Back to what it was is a change too: the API server may still enforce the other.
    version.seen('a');
    jest.advanceTimersByTime(2_000);
    version.stop();
    jest.advanceTimersByTime(60_000);
    expect(told).toEqual(['a', 'b~0', 'b~1', 'a~0', 'a~1']);
  } finally {
    jest.useRealTimers();
  }
});
