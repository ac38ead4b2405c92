/** Values of flags that are checked before anything else happens: a wrong one is wrong usage, exit code 2. */
import { InvalidArgumentError } from 'commander';
import { parseDuration } from '../lib/duration.ts';
import { toAppError } from '../lib/errors.ts';

/** What `parse` throws, as wrong usage. */
export function checked<T>(parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (thrown) {
      throw new InvalidArgumentError(toAppError(thrown).message);
    }
  };
}

/** Milliseconds. */
export const duration = checked(parseDuration);

/** The same, kept as it was written. */
export const durationText = checked((text) => {
  parseDuration(text);
  return text;
});

/** A whole number of 1 or more. */
export function count(text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 1) return number;
  throw new InvalidArgumentError('Write a whole number of 1 or more.');
}
