/** The logger of a proxy process: the lines of `lib/log.ts` without the library, which would cost each sidecar 0.7 MB. */
import { writeSync } from 'node:fs';
import type { LogFunction, Logger } from '../../lib/log.ts';

const LEVELS = { trace: 10, debug: 20, info: 30, warn: 40, error: 50, fatal: 60, silent: 70 } as const;

type Level = keyof typeof LEVELS;

interface LineLoggerOptions {
  /** What is below it is not written. Whatever is no level is `info`. */
  level?: string | undefined;
  write?: (line: string) => void;
  now?: () => Date;
}

/** Synchronous, on stderr: a process that dies keeps its last lines, and nothing logs on a hot path. */
function toStderr(line: string): void {
  try {
    writeSync(2, line);
  } catch {
    // Nobody reads, or the pipe is full: a proxy does not end, or wait, for that.
  }
}

/** The message of an error and of what caused it. */
function messages(error: Error): string {
  return error.cause instanceof Error ? `${error.message}: ${messages(error.cause)}` : error.message;
}

function plain(value: unknown): unknown {
  if (!(value instanceof Error)) return value;
  const { cause, ...own } = value as Error & { cause?: unknown };
  const stack = cause instanceof Error ? `${value.stack}\ncaused by: ${cause.stack}` : value.stack;
  return { ...own, type: value.constructor.name, message: messages(value), stack };
}

function text(fields: object): string {
  const given = (replace: (value: unknown) => unknown) =>
    Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => `,${JSON.stringify(name)}:${JSON.stringify(replace(value)) ?? 'null'}`)
      .join('');
  try {
    return given(plain);
  } catch {
    // Something that refers to itself.
    return given((value) => (value instanceof Error ? messages(value) : String(value)));
  }
}

export function createLineLogger(
  base: Record<string, unknown>,
  { level = 'info', write = toStderr, now = () => new Date() }: LineLoggerOptions = {},
): Logger {
  const least = LEVELS[level as Level] ?? LEVELS.info;
  const always = text(base);
  const at =
    (name: Level): LogFunction =>
    (fields: object | string, message?: string) => {
      if (LEVELS[name] < least) return;
      const [given, said] = typeof fields === 'string' ? ['', fields] : [text(fields), message];
      const end = said === undefined ? '' : `,"msg":${JSON.stringify(said)}`;
      write(`{"level":${LEVELS[name]},"time":"${now().toISOString()}"${always}${given}${end}}\n`);
    };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    fatal: at('fatal'),
    child: (fields) => createLineLogger({ ...base, ...fields }, { level, write, now }),
  };
}
