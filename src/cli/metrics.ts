import { Command } from 'commander';
import { runProcess } from '../controller/process.ts';
import { aborted } from '../lib/aborted.ts';
import { parseDuration } from '../lib/duration.ts';
import { toAppError } from '../lib/errors.ts';
import { parseListen } from '../lib/listen.ts';
import { type MetricsConfig, parseConfig, startMetricsStore } from '../metrics/index.ts';
import { count, durationText, listenText } from './arguments.ts';
import { readGiven, WrongInput } from './given.ts';
import { VERSION } from './program.ts';

interface Flags {
  config: string;
  listen: string;
  retention: string;
  /** Megabytes. */
  maxMemory: number;
  check: boolean;
  kubeconfig?: string;
}

export function command(): Command {
  return new Command('metrics')
    .summary('run the metrics store (Prometheus HTTP API)')
    .description(
      'Scrapes what a Prometheus configuration file names, keeps it compressed in memory and answers the Prometheus HTTP API. Optional: any Prometheus does. SIGHUP reads the file again; what is in memory is lost when the process ends.',
    )
    .requiredOption(
      '--config <file>',
      'Prometheus configuration file (static_configs, kubernetes_sd_configs role pod)',
    )
    .option('--listen <address>', 'host:port, or :port for every address', listenText, ':9090')
    .option('--retention <duration>', 'how long samples are kept', durationText, '6h')
    .option('--max-memory <megabytes>', 'memory for samples; above it the oldest go earlier', count, 512)
    .option('--check', 'read the configuration, say what is wrong with it, and end', false)
    .option('--kubeconfig <file>', 'cluster that pods are discovered in')
    .addHelpText(
      'after',
      "\nExamples:\n  weir metrics --config prometheus.yml --listen 127.0.0.1:9090\n  curl 'http://127.0.0.1:9090/api/v1/query?query=up'",
    )
    .action(async (flags: Flags) => {
      const config = read(flags.config);
      if (flags.check) {
        const { scrapeConfigs, ignored } = config;
        const unused = ignored.length > 0 ? `; not used by Weir: ${ignored.join(', ')}` : '';
        process.stdout.write(`${flags.config}: ${scrapeConfigs.length} scrape configuration(s)${unused}\n`);
        return;
      }
      await runProcess('metrics', async (signal, log) => {
        const running = await startMetricsStore({
          ...parseListen(flags.listen),
          config,
          retention: parseDuration(flags.retention),
          maxBytes: flags.maxMemory * 1024 * 1024,
          version: VERSION,
          kubeconfig: flags.kubeconfig,
          log,
        });
        log.info({ url: running.url }, 'serving the Prometheus HTTP API');
        const reload = () => {
          const fresh = async () => running.reload(read(flags.config));
          fresh().then(
            () => log.info('configuration read again'),
            (error: unknown) => log.error({ error }, 'the configuration was not read: the one before stays'),
          );
        };
        process.on('SIGHUP', reload);
        try {
          // Discovery that fails for good ends the process; one that is merely slow keeps it not ready.
          await Promise.race([aborted(signal), running.ready]);
          await aborted(signal);
        } finally {
          process.off('SIGHUP', reload);
          await running.stop();
        }
      });
    });
}

function read(file: string): MetricsConfig {
  const text = readGiven(file, '--config');
  try {
    return parseConfig(text);
  } catch (thrown) {
    throw new WrongInput(thrown, `${file}: ${toAppError(thrown).message}`);
  }
}
