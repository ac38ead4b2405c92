import pino, { type Logger } from 'pino';

export type { Logger } from 'pino';

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
