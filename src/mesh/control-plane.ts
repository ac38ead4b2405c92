import { kinds } from '../api/kinds.ts';
import { type KubeObject, keyOf, type ResourceKind } from '../api/meta.ts';
import { annotations, labels, MESH_SERVICE, TRUST_CONFIG_MAP } from '../api/names.ts';
import type { TrafficPolicy } from '../api/traffic-policy.ts';
import type { TrafficSplit } from '../api/traffic-split.ts';
import type { AdmissionHandler } from '../controller/admission.ts';
import { EventRecorder, Informer, type KubeClient } from '../kube/index.ts';
import { systemClock } from '../lib/clock.ts';
import { AppError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import { Catalog } from './discovery/catalog.ts';
import { ClusterIndex } from './discovery/cluster-index.ts';
import type { EndpointSlice, Pod, Service } from './discovery/objects.ts';
import { DiscoveryServer } from './discovery/server.ts';
import { splitProblem } from './discovery/split-problem.ts';
import type { KeyPair } from './identity/authority.ts';
import { issueCertificate } from './identity/certificates.ts';
import { loadOrCreateIssuer } from './identity/issuer.ts';
import { ServerCertificate } from './identity/server-certificate.ts';
import { tokenReviewer } from './identity/token.ts';
import { type TrustConfigMap, TrustDistributor } from './identity/trust.ts';
import { injectHandler } from './injector/webhook.ts';
import { PolicyStatuses } from './policy-statuses.ts';
import { WebhookBundles, type WebhookConfiguration } from './webhook-bundles.ts';

export interface ControlPlaneOptions {
  client: KubeClient;
  /** Where Weir itself runs. */
  namespace: string;
  /** Unique among the replicas that may run at once: the pod's name. */
  replica: string;
  trustDomain: string;
  listen: { host: string; port: number };
  /** Image of injected proxies. */
  image: string;
  sidecar?: 'container' | 'native';
  interception?: 'transparent' | 'explicit';
  /** As the injector's. */
  traceOtlp?: string | undefined;
  traceSample?: string | undefined;
  /** Milliseconds. */
  certificateLifetime: number;
  log: Logger;
  signal: AbortSignal;
}

export interface ControlPlane {
  /** Port of the discovery server. */
  port: number;
  /** Serving certificate, for the webhooks too. */
  tls(): KeyPair;
  onTlsChange(listener: () => void): void;
  /** The /inject webhook. */
  inject: AdmissionHandler;
  ready(): boolean;
  stats(): ControlPlaneStats;
  /** Ends the streams; the informers end with the signal. */
  stop(): Promise<void>;
}

export interface ControlPlaneStats {
  sessions: number;
  connected: number;
  destinations: number;
  watchers: number;
  settled: boolean;
  certificatesIssued: number;
  certificatesRefused: number;
  trustNamespaces: number;
}

/** Rejects when the signal aborts: what is waited for may never come then. */
const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    const fail = () => reject(new AppError('Aborted', 'stopped before the caches were filled'));
    if (signal.aborted) fail();
    else signal.addEventListener('abort', fail, { once: true });
  });

/** Starts identity and discovery against one cluster; resolves when the caches are filled and the port is open. */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { client, namespace, trustDomain, log, signal } = options;
  const clock = systemClock;
  const stats = { certificatesIssued: 0, certificatesRefused: 0 };

  const index = new ClusterIndex({ trustDomain });
  const events = new EventRecorder({ client, component: 'weir-mesh', log });
  const leaseSeconds = 15;
  const catalog = new Catalog({
    index,
    leaseSeconds,
    onConflict: (loser, winner) => {
      const [losing, ruling] = [loser.metadata.name, winner.metadata.name];
      const message = `TrafficSplit ${ruling} is older and rules Service ${loser.spec.service}; ${losing} has no effect. Delete one of them`;
      log.warn(
        { namespace: loser.metadata.namespace, winner: ruling, loser: losing },
        'TrafficSplit conflict',
      );
      events.event(loser, 'Warning', 'SplitConflict', message);
    },
  });

  // Caches fill while the issuer is read or made: neither needs the other.
  const informers: { synced: Promise<void> }[] = [];
  const follow = <T extends KubeObject>(
    kind: ResourceKind,
    onEvent: (event: { type: 'added' | 'updated' | 'deleted'; object: T; previous?: T }) => void,
    selectors: { fieldSelector?: string; labelSelector?: string } = {},
  ): Informer<T> => {
    const informer = new Informer<T>({ client, kind, log, ...selectors });
    informer.onChange(onEvent);
    informer.start(signal);
    informers.push(informer);
    return informer;
  };
  let server: DiscoveryServer | undefined;
  const statuses = new PolicyStatuses({ client, index, namespace, replica: options.replica, log, clock });
  follow<Service>(kinds.Service, ({ type, object }) => {
    catalog[type === 'deleted' ? 'remove' : 'set']({ kind: 'Service', object });
    statuses.serviceChanged(keyOf(object));
  });
  follow<TrafficPolicy>(kinds.TrafficPolicy, ({ type, object }) => {
    const change = { kind: 'TrafficPolicy' as const, object };
    statuses.policyChanged(keyOf(object), type === 'deleted' ? catalog.remove(change) : catalog.set(change));
  });
  follow<EndpointSlice>(kinds.EndpointSlice, ({ type, object }) =>
    catalog[type === 'deleted' ? 'remove' : 'set']({ kind: 'EndpointSlice', object }),
  );
  follow<TrafficSplit>(kinds.TrafficSplit, ({ type, object }) => {
    catalog[type === 'deleted' ? 'remove' : 'set']({ kind: 'TrafficSplit', object });
    const problem = type === 'deleted' ? undefined : splitProblem(object);
    if (problem)
      events.event(object, 'Warning', 'SplitIgnored', `${problem}: the TrafficSplit has no effect`);
  });
  const wanted = new Set([namespace]);
  let want = (name: string): void => void wanted.add(name);
  follow<Pod>(kinds.Pod, ({ type, object, previous }) => {
    const pod = `${object.metadata.namespace}/${object.metadata.name}`;
    // A StatefulSet's pod comes back under its old name: another uid is another proxy.
    if (type === 'deleted' || (previous && previous.metadata.uid !== object.metadata.uid))
      server?.registry.podGone(pod);
    catalog[type === 'deleted' ? 'remove' : 'set']({ kind: 'Pod', object });
    if (type !== 'deleted' && object.metadata.annotations?.[annotations.injected] !== undefined)
      want(object.metadata.namespace ?? 'default');
  });
  let forget = (name: string): void => void wanted.delete(name);
  const namespaces = follow<KubeObject>(kinds.Namespace, ({ type, object }) => {
    if (type === 'deleted') forget(object.metadata.name);
    else if (object.metadata.labels?.[labels.inject] === 'enabled' && !object.metadata.deletionTimestamp)
      want(object.metadata.name);
  });

  const authority = await loadOrCreateIssuer({
    client,
    namespace,
    log,
    authority: { trustDomain, lifetime: options.certificateLifetime },
  });
  const certificate = new ServerCertificate({
    authority,
    dnsNames: [
      `${MESH_SERVICE}.${namespace}.svc`,
      `${MESH_SERVICE}.${namespace}.svc.cluster.local`,
      `${MESH_SERVICE}.${namespace}`,
    ],
    log,
  });
  await certificate.start(signal);

  const trust = new TrustDistributor({ client, bundle: () => authority.bundle, log, signal });
  want = (name) => trust.want(name);
  forget = (name) => trust.forget(name);
  for (const name of wanted) trust.want(name);
  follow<TrustConfigMap>(
    kinds.ConfigMap,
    ({ type, object }) =>
      trust.observed(object.metadata.namespace ?? 'default', type === 'deleted' ? undefined : object),
    { fieldSelector: `metadata.name=${TRUST_CONFIG_MAP}` },
  );
  const bundles = new WebhookBundles({
    client,
    service: { namespace, name: MESH_SERVICE },
    bundle: () => authority.bundle,
    log,
    signal,
  });
  for (const kind of [kinds.MutatingWebhookConfiguration, kinds.ValidatingWebhookConfiguration])
    follow<WebhookConfiguration>(
      kind,
      ({ type, object }) => {
        if (type !== 'deleted') bundles.observed(kind, object);
      },
      { labelSelector: 'app.kubernetes.io/part-of=weir' },
    );

  // Before the caches are full, a Service that exists would look as if it did not.
  await Promise.race([Promise.all(informers.map(({ synced }) => synced)), aborted(signal)]);
  catalog.flush();
  statuses.start();
  const verify = tokenReviewer(client);
  server = new DiscoveryServer({
    listen: options.listen,
    tls: () => certificate.current(),
    trust: () => authority.bundle,
    trustDomain,
    catalog,
    index,
    leaseSeconds,
    systemNamespace: namespace,
    log,
    certificates: async (body, requestSignal) => {
      try {
        const answer = await issueCertificate(body, authority, verify, requestSignal);
        stats.certificatesIssued += 1;
        return answer;
      } catch (error) {
        stats.certificatesRefused += 1;
        log.warn({ error }, 'certificate refused');
        throw error;
      }
    },
  });
  const started = server;
  certificate.onRotate(() => started.reload());
  const port = await started.start();
  log.info({ port, trustDomain }, 'discovery is serving');

  return {
    port,
    tls: () => certificate.current(),
    onTlsChange: (listener) => certificate.onRotate(listener),
    inject: injectHandler({
      image: options.image,
      ...(options.sidecar ? { sidecar: options.sidecar } : {}),
      interception: options.interception ?? 'explicit',
      traceOtlp: options.traceOtlp,
      traceSample: options.traceSample,
      trustDomain,
      meshAddress: `https://${MESH_SERVICE}.${namespace}.svc:8443`,
      isService: (name, of) => index.service(`${of}/${name}`) !== undefined,
      namespaceMetadata: (name) => namespaces.store.get(name)?.metadata,
      prepare: async (name) => {
        // The pod's volumes wait for the bundle anyway: a pod is never refused over it.
        await trust.ensure(name).catch((error: unknown) => {
          log.warn({ error, namespace: name }, 'trust bundle not there yet');
          trust.want(name);
        });
      },
      log,
    }),
    ready: () => bundles.settled,
    stats: () => ({
      ...stats,
      sessions: started.registry.size,
      connected: started.registry.connected,
      destinations: catalog.size,
      watchers: started.acknowledgements.watchers,
      settled: started.acknowledgements.settled,
      trustNamespaces: trust.size,
    }),
    stop: async () => {
      await Promise.all([started.stop(), statuses.stop()]);
    },
  };
}
