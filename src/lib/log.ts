import pino from 'pino';

/** A constant message, with fields before it if there are any. */
export interface LogFunction {
  (fields: object, message?: string): void;
  (message: string): void;
}

/** What is asked of a logger; pino's is one. */
export interface Logger {
  debug: LogFunction;
  info: LogFunction;
  warn: LogFunction;
  error: LogFunction;
  fatal: LogFunction;
  /** One whose lines carry these fields too. */
  child(fields: Record<string, unknown>): Logger;
}

/** A JSON logger on stderr; stdout stays free for what a command prints. Level from WEIR_LOG (default info). */
export function createLogger(component: string): Logger {
  return pino(
    {
      level: process.env.WEIR_LOG ?? 'info',
      base: { component },
      timestamp: pino.stdTimeFunctions.isoTime,
      serializers: { error: pino.stdSerializers.err },
    },
    // Synchronous: a process that dies keeps its last lines, and nothing logs on a hot path.
    pino.destination({ fd: 2, sync: true }),
  );
}

/** A logger that writes nothing, for tests and pure helpers. */
export const silentLogger: Logger = pino({ level: 'silent' });
