/** Values of flags that are checked before anything else happens: a wrong one is wrong usage, exit code 2. */
import { InvalidArgumentError } from 'commander';
import { parseDuration } from '../lib/duration.ts';
import { AppError, toAppError } from '../lib/errors.ts';
import { parseListen } from '../lib/listen.ts';

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

/** An address to listen on, kept as it was written. */
export const listenText = checked((text) => {
  parseListen(text);
  return text;
});

/** An http or https URL, kept as it was written. */
export const urlText = checked((text) => {
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return text;
  throw new AppError(
    'Invalid',
    `"${text}" is not a URL: write one such as http://prometheus.monitoring.svc:9090`,
  );
});

/** A share from 0 to 1, kept as it was written. */
export function shareText(text: string): string {
  const number = Number(text);
  if (text.trim() !== '' && number >= 0 && number <= 1) return text;
  throw new InvalidArgumentError('Write a share from 0 to 1, such as 0.01.');
}

/** A whole number of 1 or more. */
export function count(text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 1) return number;
  throw new InvalidArgumentError('Write a whole number of 1 or more.');
}
