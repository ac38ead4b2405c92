/** The limits of a proxy as people write them: `limits` of the file of `weir proxy --config`, and a pod's annotation. */
import { parse } from 'yaml';
import { z } from 'zod';
import { DURATION_PATTERN, parseDuration } from '../lib/duration.ts';
import { AppError } from '../lib/errors.ts';
import { fieldPath } from '../lib/field-path.ts';
import { yamlProblem } from '../lib/yaml-problem.ts';
import './messages.ts';

const duration = z
  .string()
  .regex(new RegExp(DURATION_PATTERN), 'write a number and a unit, such as 250ms, 5s or 1m30s')
  .transform(parseDuration);

const count = (most: number) => z.number().int().min(1).max(most);
const bytes = (least: number, most = 1_073_741_824) => z.number().int().min(least).max(most);
/** So many at once, and so many a second from then on. */
const budget = z.strictObject({ burst: count(1_000_000), perSecond: count(1_000_000) });

/** docs/proxy.md says what each of them is. */
export const proxyLimits = z.strictObject({
  headerBytes: bytes(1_024, 16_777_216).optional(),
  headerCount: count(10_000).optional(),
  requestLine: bytes(64, 16_777_216).optional(),
  headerDeadline: duration.optional(),
  keepAliveIdle: duration.optional(),
  idle: duration.optional(),
  bodyIdle: duration.optional(),
  linger: duration.optional(),
  pooledIdle: duration.optional(),
  connectTimeout: duration.optional(),
  detectTimeout: duration.optional(),
  handshakeTimeout: duration.optional(),
  replay: bytes(0, 16_777_216).optional(),
  inFlight: z.number().int().min(1).optional(),
  connections: z.number().int().min(1).optional(),
  streams: count(100_000).optional(),
  windowStall: duration.optional(),
  http2Idle: duration.optional(),
  pingAfter: duration.optional(),
  pongWithin: duration.optional(),
  continuations: count(10_000).optional(),
  resets: budget.optional(),
  control: budget.optional(),
  unread: bytes(1_024).optional(),
  output: bytes(16_384).optional(),
  backlog: bytes(65_536).optional(),
});

type Written = z.infer<typeof proxyLimits>;

/** The same as a proxy has them: its own names, milliseconds, and only what is given. */
export function ownLimits({
  headerBytes,
  headerCount,
  requestLine,
  headerDeadline,
  idle,
  resets,
  control,
  ...same
}: Written) {
  const pair = (each: Written['resets']): [number, number] | undefined =>
    each && [each.burst, each.perSecond];
  return defined({
    ...same,
    bytes: headerBytes,
    count: headerCount,
    startLine: requestLine,
    headDeadline: headerDeadline,
    tcpIdle: idle,
    resets: pair(resets),
    control: pair(control),
  });
}

function defined<T extends object>(value: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };
}

/** Reads limits from a text of YAML or JSON that `where` holds. Throws Invalid, naming each key that is wrong and what to write. */
export function readLimits(text: string, where: string): ReturnType<typeof ownLimits> {
  let value: unknown;
  try {
    value = parse(text);
  } catch (thrown) {
    throw new AppError('Invalid', `${where} is not YAML: ${yamlProblem(thrown)}`, { cause: thrown });
  }
  const parsed = proxyLimits.safeParse(value ?? {});
  if (parsed.success) return ownLimits(parsed.data);
  const problems = parsed.error.issues.map((issue) => {
    // Who has misspelt a key wants to know what the keys are.
    if (issue.code === 'unrecognized_keys')
      return `${issue.keys.join(', ')}: no such limit; there are ${Object.keys(proxyLimits.shape).join(', ')}`;
    return `${fieldPath(issue.path) || 'all of it'}: ${issue.message}`;
  });
  throw new AppError('Invalid', `${where} is not valid: ${problems.join('; ')}`);
}
