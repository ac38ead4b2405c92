/**
 * Entry of the proxy process. `proxy.js` alone is a sidecar and reads its environment; `proxy.js --static FILE
 * [--validator ARG…]` runs from normalised JSON that `weir proxy --config` has checked.
 */
import { readFileSync, rmSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { systemClock } from '../../lib/clock.ts';
import { toAppError } from '../../lib/errors.ts';
import { createLogger } from '../../lib/log.ts';
import type { ProxyConfig } from './config.ts';
import { drain } from './drain.ts';
import { startSidecar } from './sidecar.ts';
import { type RunningProxy, startStatic } from './static.ts';

const log = createLogger('proxy');

function start(): RunningProxy {
  const [flag, path, , ...validator] = process.argv.slice(2);
  if (flag !== '--static' || path === undefined) return startSidecar(process.env, log);
  const config = JSON.parse(readFileSync(path, 'utf8')) as ProxyConfig;
  // The command line made it for this start alone.
  if (basename(dirname(path)).startsWith('weir-proxy-'))
    rmSync(dirname(path), { recursive: true, force: true });
  return startStatic(config, validator.length > 0 ? validator : undefined, log);
}

async function run(): Promise<void> {
  const running = start();
  const { proxy } = running;
  const stopping = Promise.withResolvers<void>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stopping.resolve());
  process.on('SIGHUP', () => void running.reload());
  // The last net: what went wrong belongs to one connection, and the pod's others go on.
  process.on('uncaughtException', (error) => log.error({ error }, 'unexpected error'));

  const { admin } = proxy.config;
  const { startAdmin } = await import('./admin.ts');
  const server =
    admin &&
    (await startAdmin({
      listen: admin.listen,
      host: process.env.POD_IP ?? '0.0.0.0',
      proxy,
      ready: () => running.ready() && !proxy.runtime.draining,
      started: () => running.ready() || running.passing(),
      shutdown: () => stopping.resolve(),
    }));
  await Promise.race([running.started, stopping.promise]);
  await stopping.promise;
  log.info('draining');
  await drain(proxy, {
    grace: proxy.config.grace ?? 30_000,
    minimum: Number(process.env.WEIR_DRAIN_MINIMUM_MS ?? 1_000),
    quiet: Number(process.env.WEIR_DRAIN_QUIET_MS ?? 1_000),
    clock: systemClock,
  });
  await Promise.all([running.stop(), proxy.observers.stop()]);
  server?.close();
  log.info('drained');
}

try {
  await run();
  process.exit(0);
} catch (thrown) {
  log.fatal({ error: toAppError(thrown).message }, 'the proxy cannot run');
  process.exit(1);
}
