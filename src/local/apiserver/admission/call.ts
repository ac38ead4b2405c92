import { Agent, request } from 'node:https';
import type { Store } from '../storage/store.ts';
import type { Webhook } from './match.ts';

interface Target {
  host: string;
  port: number;
  path: string;
  servername: string;
}

interface Slice {
  endpoints?: { addresses: string[]; conditions?: { ready?: boolean } }[];
  ports?: { name?: string; port?: number }[];
}

const agent = new Agent({ keepAlive: true, maxSockets: 32, timeout: 30_000 });

/** Posts a review; throws with the cause when there is no usable answer within the webhook's timeout. */
export async function callWebhook(hook: Webhook, body: object, store: Store): Promise<unknown> {
  const timeout = (hook.timeoutSeconds ?? 10) * 1000;
  const { host, port, path, servername } = resolve(hook, store);
  const ca = hook.clientConfig.caBundle
    ? Buffer.from(hook.clientConfig.caBundle, 'base64').toString()
    : undefined;
  const payload = JSON.stringify(body);
  return new Promise((done, fail) => {
    const call = request(
      {
        agent,
        host,
        port,
        path: `${path}${path.includes('?') ? '&' : '?'}timeout=${timeout / 1000}s`,
        method: 'POST',
        servername,
        ...(ca ? { ca } : {}),
        headers: {
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(payload),
          host: servername,
        },
        signal: AbortSignal.timeout(timeout),
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', fail);
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          if (response.statusCode !== 200)
            return fail(new Error(`the server answered ${response.statusCode}: ${text.slice(0, 200)}`));
          try {
            done(JSON.parse(text));
          } catch (error) {
            fail(error as Error);
          }
        });
      },
    );
    call.on('error', (error) =>
      fail(
        error.name === 'TimeoutError' || error.name === 'AbortError'
          ? new Error(`Post "https://${servername}:${port}${path}": context deadline exceeded`)
          : error,
      ),
    );
    call.end(payload);
  });
}

function resolve(hook: Webhook, store: Store): Target {
  const { url, service } = hook.clientConfig;
  if (url) {
    const parsed = new URL(url);
    return {
      host: parsed.hostname,
      port: Number(parsed.port || 443),
      path: parsed.pathname + parsed.search,
      servername: parsed.hostname,
    };
  }
  if (!service) throw new Error('clientConfig names neither a url nor a service');
  const { namespace, name, path = '/', port = 443 } = service;
  const stored = store.get('/services', namespace, name);
  if (!stored) throw new Error(`service "${name}" not found`);
  const spec = stored.object.spec as { ports?: { name?: string; port: number }[] };
  const servicePort = spec.ports?.find((each) => each.port === port);
  if (!servicePort) throw new Error(`no service port ${port} found for service "${name}"`);
  const ready = store
    .list('discovery.k8s.io/endpointslices', namespace)
    .filter(({ object }) => object.metadata.labels?.['kubernetes.io/service-name'] === name)
    .flatMap(({ object }) => {
      const slice = object as unknown as Slice;
      const target = slice.ports?.find((each) => (each.name ?? '') === (servicePort.name ?? ''));
      if (!target?.port) return [];
      return (slice.endpoints ?? [])
        .filter(({ conditions }) => conditions?.ready !== false)
        .flatMap(({ addresses }) => addresses.map((host) => ({ host, port: target.port! })));
    });
  const chosen = ready[Math.floor(Math.random() * ready.length)];
  if (!chosen) throw new Error(`no endpoints available for service "${name}"`);
  return { ...chosen, path, servername: `${name}.${namespace}.svc` };
}
