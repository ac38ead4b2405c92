import { Command } from 'commander';
import { createJudge, prometheusProvider } from '../analysis/index.ts';
import { kinds } from '../api/kinds.ts';
import { type KubeObject, keyOf } from '../api/meta.ts';
import type { MetricTemplate } from '../api/metric-template.ts';
import { MESH_SERVICE, METRICS_SERVICE, ports, SYSTEM_NAMESPACE, TRUST_DOMAIN } from '../api/names.ts';
import type { TrafficSplit } from '../api/traffic-split.ts';
import { giveBackAtRest, MetricsRegistry, runProcess, startHealthServer } from '../controller/index.ts';
import {
  type Client,
  type ConnectOptions,
  connect,
  Informer,
  LeaderElection,
  writeThrough,
} from '../kube/index.ts';
import { aborted } from '../lib/aborted.ts';
import { AppError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import { withoutMemoryReducer } from '../lib/memory-reducer.ts';
import { IdentityClient } from '../mesh/identity/client.ts';
import { RolloutController } from '../rollout/index.ts';
import { routers } from '../traffic/index.ts';
import { count, listenText, urlText } from './arguments.ts';
import { given } from './given.ts';
import { followMesh } from './mesh-replicas.ts';
import { replicaName } from './replica.ts';

interface Flags {
  kubeconfig?: string;
  prometheusUrl: string;
  meshAddress: string;
  listen: string;
  namespace: string[];
  systemNamespace: string;
  concurrency: number;
}

export function command(): Command {
  const system = process.env.POD_NAMESPACE ?? SYSTEM_NAMESPACE;
  return new Command('controller')
    .summary('run the rollout controller')
    .description(
      'Reconciles Rollouts: gate, canary ReplicaSets, traffic, analysis, promotion. Run as many as you like; one leads.',
    )
    .option('--kubeconfig <file>', 'cluster to work on; default: $KUBECONFIG, ~/.kube/config, in-cluster')
    .option(
      '--prometheus-url <url>',
      'any server of the Prometheus HTTP API',
      urlText,
      `http://${METRICS_SERVICE}.${system}.svc:${ports.metrics}`,
    )
    .option(
      '--mesh-address <url>',
      'where `weir mesh` issues certificates',
      urlText,
      `https://${MESH_SERVICE}.${system}.svc:${ports.discovery}`,
    )
    .option('--listen <address>', '/live, /ready and /metrics', listenText, `:${ports.health}`)
    .option(
      '-n, --namespace <name...>',
      'only Rollouts of these namespaces, all that the ServiceAccount may see; default: all',
      [],
    )
    .option('--system-namespace <name>', "Weir's own namespace", system)
    .option('--concurrency <number>', 'Rollouts reconciled at the same time', count, 32)
    .addHelpText(
      'after',
      '\nExamples:\n  weir controller\n  weir controller --prometheus-url http://prometheus.monitoring.svc:9090\n  weir controller --kubeconfig ~/.kube/config --listen 127.0.0.1:9090',
    )
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  withoutMemoryReducer();
  const metrics = new MetricsRegistry();
  const requests = metrics.counter(
    'weir_kubernetes_requests_total',
    'Requests sent to the API server; a watch counts once for each time it is opened.',
  );
  const access = {
    ...(flags.kubeconfig ? { kubeconfig: flags.kubeconfig } : {}),
    onRequest: (method: string, resource: string) => requests.add(1, { method, resource }),
  };
  const client = await given(() => connect(access));
  await runProcess('controller', (signal, log) => serve({ flags, metrics, access, client }, signal, log));
}

interface Given {
  flags: Flags;
  metrics: MetricsRegistry;
  access: ConnectOptions;
  client: Client;
}

async function serve(
  { flags, metrics, access, client }: Given,
  signal: AbortSignal,
  log: Logger,
): Promise<void> {
  const { concurrency } = flags;
  const scope = { namespaces: flags.namespace };
  const splits = new Informer<TrafficSplit & KubeObject>({ client, log, kind: kinds.TrafficSplit, ...scope });
  const templates = new Informer<MetricTemplate & KubeObject>({
    client,
    log,
    kind: kinds.MetricTemplate,
    ...scope,
  });
  const identity = identityOf(flags, log);
  const mesh = followMesh({ client, identity, namespace: flags.systemNamespace, log });
  const { acknowledgements } = mesh;

  const controller = new RolloutController({
    client,
    log,
    concurrency,
    metrics,
    ...scope,
    judge: createJudge({
      provider: prometheusProvider({ url: flags.prometheusUrl }),
      templates: (inside, name) => templates.store.get(`${inside}/${name}`),
      log,
    }),
    routers: {
      mesh: routers.mesh({
        client: writeThrough(client, [splits]),
        splits: {
          get: (key) => splits.store.get(key),
          onChange: (listener) => splits.onChange(({ object }) => listener(keyOf(object))),
        },
        acknowledgements,
      }),
    },
  });
  const leader = new LeaderElection({
    // Connections of its own: renewing the lease waits behind nothing that the Rollouts ask for.
    client: await connect(access),
    namespace: flags.systemNamespace,
    name: 'weir-controller',
    identity: replicaName(),
    log,
    // An API server that is too busy for the lease is asked for nothing else but what takes traffic away.
    onLate: (late) => client.hold(late),
  });
  metrics.gauge('weir_leader', 'One in the replica that leads.', () => (leader.leading ? 1 : 0));
  const health = await startHealthServer({
    listen: flags.listen,
    ready: () => controller.caches.synced || 'the caches are still being filled',
    metrics: () => metrics.parts(),
  });
  try {
    void identity.start();
    for (const informer of [splits, templates, mesh.slices]) informer.start(signal);
    await Promise.race([
      Promise.all([controller.start(signal), splits.synced, templates.synced, mesh.slices.synced]),
      aborted(signal),
    ]);
    giveBackAtRest(controller, signal);
    await leader.run(signal, (lead) => controller.run(lead));
    // Whoever lost the lease starts over with nothing in memory.
    if (!signal.aborted) throw new AppError('Unavailable', 'another replica leads now: starting over');
  } finally {
    acknowledgements.stop();
    await Promise.all([identity.stop(), health.stop()]);
  }
}

function identityOf(flags: Flags, log: Logger): IdentityClient {
  return new IdentityClient({
    address: flags.meshAddress,
    servername: `${MESH_SERVICE}.${flags.systemNamespace}.svc`,
    trustFile: process.env.WEIR_TRUST ?? '/var/run/weir/trust/ca.pem',
    tokenFile: process.env.WEIR_TOKEN ?? '/var/run/weir/identity/token',
    trustDomain: process.env.WEIR_TRUST_DOMAIN ?? TRUST_DOMAIN,
    log,
  });
}
