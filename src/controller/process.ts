import { toAppError } from '../lib/errors.ts';
import { createLogger, type Logger } from '../lib/log.ts';

/**
 * The life of a process: SIGTERM and SIGINT abort the signal, the body drains and returns, and the process exits 0. A
 * second signal exits at once. An error that nobody caught is logged and exits 1.
 */
export async function runProcess(
  name: string,
  body: (signal: AbortSignal, log: Logger) => Promise<void>,
): Promise<void> {
  const log = createLogger(name);
  const stop = new AbortController();
  const onSignal = (signal: NodeJS.Signals) => {
    if (stop.signal.aborted) process.exit(1);
    log.info({ signal }, 'stopping');
    stop.abort();
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  process.on('unhandledRejection', (error) => {
    log.fatal({ error }, 'unhandled rejection');
    process.exit(1);
  });
  process.on('uncaughtException', (error) => {
    log.fatal({ error }, 'uncaught exception');
    process.exit(1);
  });
  try {
    await body(stop.signal, log);
    process.exit(0);
  } catch (thrown) {
    const error = toAppError(thrown);
    if (stop.signal.aborted && error.code === 'Aborted') process.exit(0);
    log.fatal({ error }, 'failed');
    process.exit(1);
  }
}
