import { systemClock } from '../../lib/clock.ts';
import { AppError, toAppError } from '../../lib/errors.ts';

/** Asks until the answer is undefined (done); the error says what it was still waiting for. */
export async function until(
  what: string,
  signal: AbortSignal,
  probe: () => Promise<string | undefined>,
  everyMs = 50,
): Promise<void> {
  let last = 'no answer yet';
  for (;;) {
    try {
      const still = await probe();
      if (still === undefined) return;
      last = still;
    } catch (thrown) {
      last = toAppError(thrown).message;
    }
    await systemClock.sleep(everyMs, signal).catch(() => {
      throw new AppError('Timeout', `${what}: ${last}`);
    });
  }
}
