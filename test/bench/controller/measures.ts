/** What Weir's controller and its peers are measured with alike. */
import type { Row } from '../row.ts';

/** Applications, each with its rollout. */
export const SIZE = Number(process.env.WEIR_BENCH_ROLLOUTS ?? 1000);
/** How many of them change at once. */
export const WAVE = Math.min(100, SIZE);
/** How many change one after the other. */
export const SINGLES = Math.min(10, SIZE);
export const IDLE_SECONDS = 60;
/** Of ten thousand less is asked for each: seconds to initialise all, CPU seconds a minute and MiB at rest. */
export const BARS: { initialised?: number; idleCpu: number; idleRss: number } =
  SIZE > 1000 ? { idleCpu: 0.6, idleRss: 512 } : { initialised: 30, idleCpu: 0.1, idleRss: 200 };

export const percentile = (values: number[], share: number): number => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? 0;
};

export const round = (value: number, digits = 0): number => Math.round(value * 10 ** digits) / 10 ** digits;

export const bar = (name: string, value: number, unit: string, most: number): Row => ({
  name,
  value,
  unit,
  bar: `<= ${most}`,
  ok: value <= most,
});

export const pause = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** Leaves the processes a moment to finish what they were at: garbage, caches, late events. */
export const settle = () => pause(5);

/** Some at the same time, so that the API server and not this loop decides how long it takes. */
export async function inParallel<T>(
  items: readonly T[],
  work: (item: T) => Promise<unknown>,
  atOnce = 16,
): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (next < items.length) {
        const item = items[next]!;
        next += 1;
        await work(item);
      }
    }),
  );
}
