import type { Rollout } from '../../api/rollout.ts';
import { systemClock } from '../../lib/clock.ts';
import type { LoadReport, Observer } from './observe.ts';
import type { ShopRepository } from './shop.ts';

export interface Outcome {
  name: string;
  expected: 'promoted' | 'rolled back';
  actual: 'promoted' | 'rolled back' | 'undecided';
  seconds: number;
  /** Requests of the users that failed meanwhile, counted by the load generator, and the controller's own count. */
  failedRequests: number;
  reported: number | undefined;
}

export interface Chapter {
  rollout: string;
  version: string;
  errorRate: number;
  expected: Outcome['expected'];
  subject: string;
  telling: string;
}

export const chapters: Chapter[] = [
  {
    rollout: 'web',
    version: 'v2',
    errorRate: 0,
    expected: 'promoted',
    subject: 'web v2: a better front page',
    telling:
      'A good version of web is committed. The canary gets 20 %, then 50 % of the requests, and is judged.',
  },
  {
    rollout: 'web',
    version: 'v3',
    errorRate: 0.05,
    expected: 'rolled back',
    subject: 'web v3: what could go wrong',
    telling: 'A bad version of web is committed: five of a hundred requests fail.',
  },
  {
    rollout: 'payments',
    version: 'v2',
    errorRate: 0,
    expected: 'promoted',
    subject: 'payments v2, blue/green',
    telling: 'A new version of payments goes live all at once: blue/green, blue stays warm for a while.',
  },
];

const CHAPTER_TIMEOUT = 60_000;

/** What has become of a version that was committed; undefined while it is still on its way. */
export function outcomeOf(rollout: Rollout | undefined, version: string): Outcome['actual'] | undefined {
  const status = rollout?.status;
  if (!status) return undefined;
  const runs = (images: string[] | undefined) =>
    images?.some((image) => image.endsWith(`:${version}`)) ?? false;
  if (status.phase === 'Healthy' && runs(status.stable?.images)) return 'promoted';
  // Failed may still be the one before.
  if (status.phase === 'Failed' && runs(status.canary?.images)) return 'rolled back';
  return undefined;
}

/** Every Rollout has adopted its Deployment and its gate holds: the next change will be judged. */
export function ready(rollouts: Rollout[]): boolean {
  return (
    rollouts.length >= 3 &&
    rollouts.every(
      ({ status }) =>
        status?.phase === 'Healthy' &&
        status.conditions.some(({ type, status: value }) => type === 'Gated' && value === 'True'),
    )
  );
}

/** Plays one chapter: commits, and waits for what Weir makes of it. */
export async function play(
  chapter: Chapter,
  shop: ShopRepository,
  observer: Observer,
  signal: AbortSignal,
): Promise<Outcome> {
  const before = await observer.load(signal);
  const start = performance.now();
  shop.release(chapter.rollout, chapter.version, chapter.errorRate, chapter.subject);
  let rollout: Rollout | undefined;
  let actual: Outcome['actual'] | undefined;
  while (actual === undefined && performance.now() - start < CHAPTER_TIMEOUT) {
    await systemClock.sleep(100, signal);
    rollout = await observer.rollout(chapter.rollout, signal).catch(() => rollout);
    actual = outcomeOf(rollout, chapter.version);
  }
  const after = await observer.load(signal);
  return {
    name: chapter.subject,
    expected: chapter.expected,
    actual: actual ?? 'undecided',
    seconds: Math.round((performance.now() - start) / 100) / 10,
    failedRequests: failedBetween(before, after),
    reported: rollout?.status?.analysis?.failedRequests,
  };
}

const failedBetween = (before: LoadReport | undefined, after: LoadReport | undefined): number =>
  Math.max(0, (after?.failed ?? 0) - (before?.failed ?? 0));

/** The sentence a person reads at the end of a chapter. */
export function tell(
  { expected, actual, seconds, failedRequests }: Outcome,
  { rollout, version }: Chapter,
): string {
  const cost = failedRequests === 0 ? 'no user request failed' : `${failedRequests} user requests failed`;
  const what =
    actual === 'promoted'
      ? `${rollout} ${version} was promoted`
      : actual === 'rolled back'
        ? `${rollout} ${version} was rolled back`
        : `${rollout} ${version} is still undecided`;
  const surprise = actual === expected ? '' : `; expected: ${expected}`;
  return `${what} after ${seconds} s; ${cost}${surprise}`;
}
