import { Command, Option } from 'commander';
import { kinds } from '../api/kinds.ts';
import {
  CONTROLLER_SERVICE_ACCOUNT,
  ports,
  SYSTEM_NAMESPACE,
  serviceAccountUser,
  TRUST_DOMAIN,
} from '../api/names.ts';
import { runProcess, startAdmissionServer, startHealthServer } from '../controller/index.ts';
import { type Client, connect, type KubeClient } from '../kube/index.ts';
import { parseDuration } from '../lib/duration.ts';
import { parseListen } from '../lib/listen.ts';
import type { Logger } from '../lib/log.ts';
import { type ControlPlane, meshMetrics, startControlPlane } from '../mesh/index.ts';
import { backstopHandler, gateHandler } from '../rollout/gate/handler.ts';
import { durationText, listenText, shareText, urlText } from './arguments.ts';
import { given } from './given.ts';
import { installOptions } from './install/options.ts';
import { replicaName } from './replica.ts';

interface Flags {
  listen: string;
  webhookListen: string;
  healthListen: string;
  namespace: string;
  trustDomain: string;
  certificateLifetime: string;
  sidecar?: 'container' | 'native';
  interception: 'transparent' | 'explicit';
  proxyImage?: string;
  traceOtlp?: string;
  traceSample?: string;
  kubeconfig?: string;
}

export function command(): Command {
  return new Command('mesh')
    .summary('run the mesh control plane: discovery, identity, admission')
    .description(
      'Serves the proxies (endpoints, splits, certificates), the controller (acknowledgements) and the API server (webhooks of gate and injector). Stateless but for the CA in Secret weir-identity-issuer; run as many as you like.',
    )
    .option('--listen <address>', 'discovery and identity (TLS)', listenText, `:${ports.discovery}`)
    .option('--webhook-listen <address>', 'admission webhooks (TLS)', listenText, `:${ports.webhook}`)
    .option('--health-listen <address>', '/live, /ready and /metrics', listenText, `:${ports.health}`)
    .option(
      '-n, --namespace <name>',
      'where the control plane lives; $POD_NAMESPACE',
      process.env.POD_NAMESPACE ?? SYSTEM_NAMESPACE,
    )
    .option(
      '--trust-domain <name>',
      'of every identity; $WEIR_TRUST_DOMAIN',
      process.env.WEIR_TRUST_DOMAIN ?? TRUST_DOMAIN,
    )
    .option('--certificate-lifetime <duration>', 'of a proxy’s certificate', durationText, '24h')
    .addOption(
      new Option(
        '--sidecar <placement>',
        'container: beside the application; native: an init container that always restarts (Kubernetes 1.29); by default native where interception is transparent',
      )
        .choices(['container', 'native'])
        .env('WEIR_SIDECAR'),
    )
    .addOption(
      new Option(
        '--interception <mode>',
        'of injected pods; transparent: all TCP by iptables rules; explicit: a listener for each destination, without privileges',
      )
        .choices(['transparent', 'explicit'])
        .env('WEIR_INTERCEPTION')
        .default('explicit'),
    )
    .addOption(
      new Option('--proxy-image <image>', 'of injected proxies; by default the image of this pod').env(
        'WEIR_PROXY_IMAGE',
      ),
    )
    .addOption(
      new Option(
        '--trace-otlp <url>',
        'collector that injected proxies send spans to (OTLP/HTTP), such as http://collector.tracing:4318/v1/traces',
      )
        .env('WEIR_TRACE_OTLP')
        .argParser(urlText),
    )
    .addOption(
      new Option('--trace-sample <share>', 'of the traces begun by proxies, 0 to 1')
        .env('WEIR_TRACE_SAMPLE')
        .argParser(shareText),
    )
    .option('--kubeconfig <file>', 'cluster to serve')
    .addHelpText(
      'after',
      '\nExamples:\n  weir mesh\n  weir mesh --sidecar native --certificate-lifetime 12h\n  weir mesh --kubeconfig ~/.kube/config --listen 127.0.0.1:8443 --webhook-listen 127.0.0.1:9443 --health-listen 127.0.0.1:9090',
    )
    .action(async (flags: Flags) => {
      const client = await given(() => connect(flags.kubeconfig ? { kubeconfig: flags.kubeconfig } : {}));
      await runProcess('mesh', (signal, log) => run({ flags, client }, signal, log));
    });
}

async function run(
  { flags, client }: { flags: Flags; client: Client },
  signal: AbortSignal,
  log: Logger,
): Promise<void> {
  const { namespace, trustDomain } = flags;

  // Live from the first moment: filling the caches of a large cluster is not a reason to be restarted.
  let plane: ControlPlane | undefined;
  let admitting = false;
  const metrics = meshMetrics(() => plane?.stats());
  const health = await startHealthServer({
    listen: flags.healthListen,
    ready: () => {
      if (signal.aborted) return 'stopping';
      if (!plane || !admitting) return 'filling the caches';
      return plane.ready() || 'putting the CA bundle into the webhook configurations';
    },
    metrics: () => metrics.text(),
  });
  plane = await startControlPlane({
    client,
    namespace,
    replica: replicaName(),
    trustDomain,
    listen: parseListen(flags.listen),
    image: flags.proxyImage ?? (await ownImage(client, namespace, log)),
    ...(flags.sidecar ? { sidecar: flags.sidecar } : {}),
    interception: flags.interception,
    traceOtlp: flags.traceOtlp,
    traceSample: flags.traceSample,
    certificateLifetime: parseDuration(flags.certificateLifetime),
    log,
    signal,
  });
  const weirUser = serviceAccountUser(namespace, CONTROLLER_SERVICE_ACCOUNT);
  const control = plane;
  const admission = await startAdmissionServer({
    listen: flags.webhookListen,
    tls: () => control.tls(),
    routes: {
      '/inject': control.inject,
      '/gate': gateHandler({ client, weirUser }),
      '/gate-backstop': backstopHandler({ client }),
    },
    log,
  });
  control.onTlsChange(() => admission.reload());
  admitting = true;
  log.info({ discovery: control.port, webhook: admission.port, health: health.port }, 'mesh is serving');

  if (!signal.aborted)
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  await Promise.all([control.stop(), admission.stop()]);
  await health.stop();
}

/** The proxy is the same image as this process: what runs here is what is injected. */
async function ownImage(client: KubeClient, namespace: string, log: Logger): Promise<string> {
  const name = process.env.POD_NAME;
  if (name) {
    try {
      const pod = await client.find<{
        metadata: { name: string };
        spec?: { containers?: { image?: string }[] };
      }>(kinds.Pod, namespace, name);
      const image = pod?.spec?.containers?.[0]?.image;
      if (image) return image;
    } catch (error) {
      log.warn({ error, pod: name }, 'could not read the own pod for its image');
    }
  }
  return installOptions().image;
}
