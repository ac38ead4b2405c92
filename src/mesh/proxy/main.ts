/**
 * Entry of the proxy process. Alone it is a sidecar and reads its environment; with `--static FILE [--validator ARG…]`
 * it runs from normalised JSON that `weir proxy --config` has checked. What only one of them needs only that one loads.
 */
import { readFileSync, rmSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { systemClock } from '../../lib/clock.ts';
import { toAppError } from '../../lib/errors.ts';
import { withoutMemoryReducer } from '../../lib/memory-reducer.ts';
import { restWhenQuiet } from '../../lib/rest.ts';
import { returnMemory } from '../../lib/return-memory.ts';
import type { ProxyConfig } from './config.ts';
import { drain } from './drain.ts';
import { createLineLogger } from './log.ts';
import type { RunningProxy } from './static.ts';

const log = createLineLogger({ component: 'proxy' }, { level: process.env.WEIR_LOG });

async function start(): Promise<RunningProxy> {
  const [flag, path, , ...validator] = process.argv.slice(2);
  if (flag !== '--static' || path === undefined) {
    return (await import('./sidecar.ts')).startSidecar(process.env, log);
  }
  const { startStatic } = await import('./static.ts');
  const config = JSON.parse(readFileSync(path, 'utf8')) as ProxyConfig;
  // The command line made it for this start alone.
  if (basename(dirname(path)).startsWith('weir-proxy-'))
    rmSync(dirname(path), { recursive: true, force: true });
  return startStatic(config, validator.length > 0 ? validator : undefined, log);
}

async function run(): Promise<void> {
  withoutMemoryReducer();
  const running = await start();
  const { proxy } = running;
  const stopping = Promise.withResolvers<void>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stopping.resolve());
  process.on('SIGHUP', () => void running.reload());
  // The last net: what went wrong belongs to one connection, and the pod's others go on.
  process.on('uncaughtException', (error) => log.error({ error }, 'unexpected error'));

  const { admin } = proxy.config;
  const server =
    admin &&
    (await (
      await import('./admin.ts')
    ).startAdmin({
      listen: admin.listen,
      host: process.env.POD_IP ?? '0.0.0.0',
      proxy,
      ready: () => running.ready() && !proxy.runtime.draining,
      started: () => running.ready() || running.passing(),
      shutdown: () => stopping.resolve(),
    }));
  await Promise.race([running.started, stopping.promise]);
  const stopResting = restWhenQuiet(proxy.runtime, returnMemory);
  await stopping.promise;
  stopResting();
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

run().then(
  () => process.exit(0),
  (thrown: unknown) => {
    log.fatal({ error: toAppError(thrown).message }, 'the proxy cannot run');
    process.exit(1);
  },
);
