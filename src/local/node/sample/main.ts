// The application of the examples, the demo and the tests. It must start quickly and be light: it loads nothing but Node.
import { startApp } from './app.ts';
import { startLoad } from './load.ts';

const { env } = process;
const host = env.POD_IP ?? '127.0.0.1';
const port = Number(env.PORT ?? 8080);

const running =
  env.MODE === 'load' ? await startLoad({ env, host, port }) : await startApp({ env, host, port });

if (env.CRASH_AFTER_MS) setTimeout(() => process.exit(1), Number(env.CRASH_AFTER_MS));

let stopping = false;
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    if (stopping) return;
    stopping = true;
    void running.stop().then(() => process.exit(0));
  });
}
