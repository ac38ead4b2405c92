/** The proxy beside an application: configured by its environment, fed by the mesh control plane. */
import { setDefaultCACertificates } from 'node:tls';
import { AppError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import { DiscoveryClient } from '../discovery/client.ts';
import { nodeKey } from '../identity/client/csr.ts';
import { IdentityClient } from '../identity/client.ts';
import { type InterceptConfig, type ProxyConfig, splitAddress } from './config.ts';
import { TransportCaller } from './control-plane-caller.ts';
import { Interception } from './intercept/index.ts';
import { DataPlane } from './proxy.ts';
import { DEFAULT_LIMITS, type Limits } from './runtime.ts';
import type { RunningProxy } from './static.ts';
import { createTransport } from './transport/choose.ts';
import { PortableTransport } from './transport/portable/portable.ts';
import { ReactorTransport } from './transport/reactor/reactor.ts';
import { serverName } from './transport/spiffe.ts';
import type { Transport } from './transport/types.ts';

const SERVERNAME = 'weir-mesh.weir.svc';
/** How long the application of an intercepted pod waits for a control plane that does not answer. */
const PATIENCE = 10_000;
/** Traces begun here, where the mesh says nothing else. */
const DEFAULT_SAMPLE = 0.01;
const TRUST_DOMAIN = 'weir.local';
/** How long listeners wait for the first routes: until then every answer would be 503. */
const FIRST_ROUTES = 2_000;

function variable(env: NodeJS.ProcessEnv, name: string): string {
  const value = env[name];
  if (value) return value;
  throw new AppError(
    'Invalid',
    `${name} is not set: the injector sets it in a sidecar; to run the proxy alone use --config FILE`,
  );
}

function list<T>(env: NodeJS.ProcessEnv, name: string): T[] {
  const text = env[name] || '[]';
  try {
    const value: unknown = JSON.parse(text);
    if (Array.isArray(value)) return value as T[];
  } catch {
    // Reported below, like any other text that is not a list.
  }
  throw new AppError('Invalid', `${name} is not a JSON list: ${text.slice(0, 100)}`);
}

/** WEIR_INTERCEPT: `{"outbound":4140,"inbound":4143,"uid":2102,"opaque":[{"from":25,"to":25}]}`, or unset. */
function interceptConfig(env: NodeJS.ProcessEnv): InterceptConfig | undefined {
  const text = env.WEIR_INTERCEPT;
  if (!text) return undefined;
  try {
    const { outbound, inbound, uid, opaque = [] } = JSON.parse(text) as Partial<InterceptConfig>;
    if ([outbound, inbound, uid].every((each) => Number.isInteger(each))) {
      const identity = `spiffe://${env.WEIR_TRUST_DOMAIN || TRUST_DOMAIN}/ns/${variable(env, 'POD_NAMESPACE')}/sa/${variable(env, 'SERVICE_ACCOUNT')}`;
      return { outbound: outbound!, inbound: inbound!, uid: uid!, opaque, name: serverName(identity) };
    }
  } catch (thrown) {
    if (thrown instanceof AppError) throw thrown;
  }
  throw new AppError(
    'Invalid',
    `WEIR_INTERCEPT does not name outbound, inbound and uid: ${text.slice(0, 100)}`,
  );
}

/** WEIR_TRACE_OTLP, WEIR_TRACE_SAMPLE and WEIR_ACCESS_LOG, each off unless set. */
function observed(env: NodeJS.ProcessEnv): Pick<ProxyConfig, 'tracing' | 'accessLog'> {
  const { WEIR_TRACE_OTLP: otlp, WEIR_TRACE_SAMPLE: text, WEIR_ACCESS_LOG: file } = env;
  const sample = text ? Number(text) : DEFAULT_SAMPLE;
  if (otlp && !/^https?:$/.test(URL.parse(otlp)?.protocol ?? ''))
    throw new AppError('Invalid', `WEIR_TRACE_OTLP is no http or https URL: ${otlp.slice(0, 100)}`);
  if (!(sample >= 0 && sample <= 1))
    throw new AppError('Invalid', `WEIR_TRACE_SAMPLE is a share, 0 to 1; not ${text}`);
  return {
    ...(otlp ? { tracing: { otlp, sample } } : {}),
    ...(file && file !== 'off' ? { accessLog: { file: file === 'stdout' ? '-' : file } } : {}),
  };
}

/** WEIR_LIMITS: what the injector made of a pod's annotation, under the names of `Limits`; or unset. */
function limitsOf(env: NodeJS.ProcessEnv): Partial<Limits> {
  const text = env.WEIR_LIMITS;
  if (!text) return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Reported below, like any other text that is no such object.
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new AppError('Invalid', `WEIR_LIMITS is not a JSON object: ${text.slice(0, 100)}`);
  const number = (each: unknown) => typeof each === 'number' && Number.isFinite(each) && each >= 0;
  for (const [name, each] of Object.entries(value)) {
    const usual = (DEFAULT_LIMITS as unknown as Record<string, unknown>)[name];
    if (usual === undefined) throw new AppError('Invalid', `WEIR_LIMITS: there is no limit ${name}`);
    const fits = Array.isArray(usual)
      ? Array.isArray(each) && each.length === 2 && each.every(number)
      : number(each);
    if (!fits) throw new AppError('Invalid', `WEIR_LIMITS: ${name} cannot be ${JSON.stringify(each)}`);
  }
  return value;
}

/** The configuration in the environment the injector writes. */
export function sidecarConfig(env: NodeJS.ProcessEnv): ProxyConfig {
  const podIp = variable(env, 'POD_IP');
  const labels = {
    namespace: env.POD_NAMESPACE ?? '',
    deployment: env.WEIR_DEPLOYMENT ?? '',
    pod: env.POD_NAME ?? '',
    revision: env.WEIR_REVISION ?? '',
  };
  const host = podIp.includes(':') ? `[${podIp}]` : podIp;
  const intercept = interceptConfig(env);
  return {
    ...(intercept ? { intercept } : {}),
    admin: { listen: env.WEIR_ADMIN ?? ':4191' },
    inbound: list<{ listen: number; forward: number }>(env, 'WEIR_INBOUND').map(({ listen, forward }) => ({
      listen: `:${listen}`,
      forward: `${host}:${forward}`,
      tls: 'required' as const,
    })),
    outbound: list<{ listen: number; destination: string }>(env, 'WEIR_OUTBOUND').map(
      ({ listen, destination }) => ({
        listen: `:${listen}`,
        destination,
      }),
    ),
    destinations: {},
    limits: limitsOf(env),
    ...observed(env),
    ...(env.WEIR_ZONE ? { zone: env.WEIR_ZONE } : {}),
    labels,
    grace: Number(env.WEIR_DRAIN_GRACE_SECONDS || 30) * 1000,
  };
}

export function startSidecar(env: NodeJS.ProcessEnv, log: Logger): RunningProxy {
  const config = sidecarConfig(env);
  const address = variable(env, 'WEIR_MESH');
  const servername = env.WEIR_MESH_SERVERNAME || SERVERNAME;
  const caller = new TransportCaller(() => transport, { address, servername });
  const identity = new IdentityClient({
    address,
    servername,
    caller,
    makeKey: (signed) => (transport instanceof ReactorTransport ? transport.makeKey : nodeKey)(signed),
    trustFile: variable(env, 'WEIR_TRUST'),
    tokenFile: variable(env, 'WEIR_TOKEN'),
    trustDomain: env.WEIR_TRUST_DOMAIN || TRUST_DOMAIN,
    log,
  });
  const transport: Transport = createTransport({ credentials: identity, log, wanted: env.WEIR_TRANSPORT });
  // Started to trust what it is told and no public authority: node's TLS would read all of them for its first context.
  if (transport instanceof PortableTransport && process.execArgv.includes('--use-openssl-ca'))
    setDefaultCACertificates([]);
  const proxy = new DataPlane({ config, transport, log, host: env.POD_IP });
  const explicit = new Set(config.outbound.map(({ destination }) => destination));
  // No word yet: a split may not rule.
  proxy.lease.until = 0;
  const discovery = new DiscoveryClient({
    address,
    servername,
    caller,
    credentials: identity,
    pod: env.POD_NAME,
    keys: [...explicit],
    apply: (key, destination, alias) => {
      if (explicit.has(key)) proxy.route(key, destination);
      else interception?.answer(key, destination, alias);
    },
    heard: (seconds) => {
      proxy.lease.until = proxy.runtime.now() + seconds * 1000;
    },
    trust: (bundle) => identity.setTrust(bundle),
    log,
  });
  let ready = false;
  let passing = Number.POSITIVE_INFINITY;
  const interception =
    config.intercept &&
    new Interception({
      plane: proxy,
      config: config.intercept,
      adminPort: splitAddress(config.admin!.listen, '').port,
      directory: discovery,
    });
  const started = (async () => {
    // Everything of the pod comes through here, its probes too: that must not wait for the control plane.
    await interception?.start();
    if (interception) passing = proxy.runtime.now() + PATIENCE;
    await identity.start();
    discovery.start();
    await Promise.race([
      discovery.synced,
      new Promise((resolve) => setTimeout(resolve, FIRST_ROUTES).unref()),
    ]);
    await proxy.start();
    void Promise.all([discovery.synced, interception && discovery.greeted]).then(() => {
      ready = true;
    });
    log.info({ ports: proxy.ports }, 'proxying');
  })();
  return {
    proxy,
    started,
    ready: () => ready,
    passing: () => proxy.runtime.now() >= passing,
    reload: async () => {},
    stop: async () => {
      interception?.stop();
      await Promise.allSettled([discovery.stop(), identity.stop()]);
    },
  };
}
