import { CronTime } from 'cron';
import type { RolloutSpec, WindowSpec } from '../api/rollout.ts';
import { parseDuration } from '../lib/duration.ts';

export interface WindowState {
  open: boolean;
  /** When it may be different. */
  next: number | undefined;
  message: string;
}

const expressionOf = (window: WindowSpec): string => (window.allow ?? window.freeze)!;

/** Start of the window that `now` lies in, if any: `cron` tells only what comes next, so ask from one length before. */
function currentStart(window: WindowSpec, now: number): number | undefined {
  const length = parseDuration(window.for);
  const time = new CronTime(expressionOf(window), window.timeZone);
  const start = time.getNextDateFrom(new Date(now - length), window.timeZone).toMillis();
  return start <= now ? start : undefined;
}

function nextStart(window: WindowSpec, now: number): number {
  return new CronTime(expressionOf(window), window.timeZone)
    .getNextDateFrom(new Date(now), window.timeZone)
    .toMillis();
}

/** What is true of a window from a moment on, and until when. */
interface Span {
  from: number;
  until: number;
  /** Start of the window that is open. */
  start: number | undefined;
}

/** Spans by window: reading a calendar takes a millisecond, and every turn of a Rollout asks. */
const spans = new Map<string, Span>();
/** More windows than an installation has; then they are read anew. */
const MOST_SPANS = 10_000;

function spanAt(window: WindowSpec, now: number): Span {
  const key = `${expressionOf(window)}|${window.timeZone}|${window.for}`;
  const known = spans.get(key);
  if (known && known.from <= now && now < known.until) return known;
  const start = currentStart(window, now);
  const until = start === undefined ? nextStart(window, now) : start + parseDuration(window.for);
  if (spans.size >= MOST_SPANS) spans.clear();
  const span = { from: now, until, start };
  spans.set(key, span);
  return span;
}

/** Whether a new step may begin: a freeze wins over allow, no allow at all means always. */
export function windowState(windows: WindowSpec[], now: number): WindowState {
  const changes: number[] = [];
  let allowed = !windows.some(({ allow }) => allow !== undefined);
  let frozen: { until: number; text: string } | undefined;
  for (const window of windows) {
    const { start, until } = spanAt(window, now);
    changes.push(until);
    if (start === undefined) continue;
    if (window.allow !== undefined) allowed = true;
    else if (!frozen || until > frozen.until) frozen = { until, text: window.freeze! };
  }
  const next = changes.length === 0 ? undefined : Math.min(...changes);
  const wait = next === undefined ? '' : ` (until ${new Date(next).toISOString()} at least)`;
  if (frozen) return { open: false, next, message: `frozen by the window "${frozen.text}"${wait}` };
  if (!allowed) return { open: false, next, message: `outside of the allowed windows${wait}` };
  return { open: true, next, message: '' };
}

/** What zod cannot see in windows: cron expressions and time zones. Field paths as in the schema's errors. */
export function windowProblems(spec: RolloutSpec): { path: (string | number)[]; message: string }[] {
  return spec.windows.flatMap((window, index) => {
    const path = ['spec', 'windows', index];
    try {
      new Intl.DateTimeFormat('en', { timeZone: window.timeZone });
    } catch {
      return [
        {
          path: [...path, 'timeZone'],
          message: `"${window.timeZone}" is not an IANA time zone: write one such as Europe/Copenhagen`,
        },
      ];
    }
    const expression = expressionOf(window);
    const field = [...path, window.allow === undefined ? 'freeze' : 'allow'];
    const { valid, error } = CronTime.validateCronExpression(expression);
    if (!valid) {
      return [
        {
          path: field,
          message: `"${expression}" is not a cron expression (${error?.message ?? 'unreadable'}): write five fields, such as "0 9 * * 1-5"`,
        },
      ];
    }
    try {
      new CronTime(expression, window.timeZone).getNextDateFrom(new Date(), window.timeZone);
    } catch {
      return [{ path: field, message: `"${expression}" never comes: write a date that exists` }];
    }
    return [];
  });
}
