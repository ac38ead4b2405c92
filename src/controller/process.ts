import { toAppError } from '../lib/errors.ts';
import { createLogger, type Logger } from '../lib/log.ts';

/** Milliseconds a forgotten handle may keep a process alive after its work is done. */
const LINGER_MS = 2000;

/**
 * A process's life: SIGTERM or SIGINT aborts the signal, `run` returns when it has drained, and the process ends with 0.
 * What is thrown or left unhandled is logged and ends it with 1, for a supervisor to start it again from a clean state.
 */
export async function runProcess(
  name: string,
  run: (signal: AbortSignal, log: Logger) => Promise<void>,
): Promise<void> {
  const log = createLogger(name);
  const stop = new AbortController();
  const onSignal = (signal: NodeJS.Signals) => {
    // A second signal means "now".
    if (stop.signal.aborted) process.exit(1);
    log.info({ signal }, 'stopping');
    stop.abort();
  };
  const onFatal = (error: unknown) => {
    log.fatal({ error }, 'unhandled error, ending the process');
    process.exit(1);
  };
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  process.on('uncaughtException', onFatal).on('unhandledRejection', onFatal);
  let code = 0;
  try {
    await run(stop.signal, log);
  } catch (thrown) {
    const error = toAppError(thrown);
    if (!(stop.signal.aborted && error.code === 'Aborted')) {
      log.fatal({ error }, error.message);
      code = 1;
    }
  }
  process.exitCode = code;
  setTimeout(() => process.exit(code), LINGER_MS).unref();
}
