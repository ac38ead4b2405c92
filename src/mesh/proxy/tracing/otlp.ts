/** Spans as OTLP/HTTP JSON (opentelemetry-proto, JSON mapping), attributes by OpenTelemetry's HTTP and RPC conventions. Pure. */
import { failed, type Observation, type Outcome } from '../observation.ts';

type Value = { stringValue: string } | { intValue: string };
type Attribute = { key: string; value: Value };

const KIND = { inbound: 2, outbound: 3 } as const;
const ERROR = 2;
/** What the conventions know; other methods are `_OTHER`, so that names and attributes stay few. */
const METHODS = new Set('GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH QUERY'.split(' '));
/** gRPC statuses that are errors at the server too. */
const SERVER_ERRORS = new Set([2, 4, 12, 13, 14, 15]);

export function attribute(key: string, value: string | number | undefined): Attribute[] {
  if (value === undefined || value === '') return [];
  return [{ key, value: typeof value === 'number' ? { intValue: String(value) } : { stringValue: value } }];
}

/** Milliseconds since 1970 as the nanoseconds that OTLP wants, in a string: they exceed 2^53. */
export const nanoseconds = (milliseconds: number): string => `${Math.round(milliseconds * 1000)}000`;

function hostAndPort(authority: string): { host: string; port: number | undefined } {
  const parts = /^(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?$/.exec(authority);
  return { host: parts?.[1] ?? authority, port: parts?.[2] === undefined ? undefined : Number(parts[2]) };
}

/** One finished request as a span: of kind CLIENT on its way out, SERVER on its way in. */
export function spanOf(observation: Observation, outcome: Outcome): object {
  const { facts, span, time, requestBytes, responseBytes } = observation;
  const { status, grpcStatus, cause, duration, retries, backend, endpoint } = outcome;
  const method = METHODS.has(facts.method) ? facts.method : '_OTHER';
  const { host, port } = hostAndPort(facts.authority);
  const client = facts.direction === 'outbound';
  const scheme = 'http';
  const rpc = facts.grpc ? /^\/(.+)\/([^/]+)$/.exec(facts.path) : null;
  const peer = client && endpoint ? { address: endpoint.host, port: endpoint.port } : undefined;
  const grpcFailed = client ? grpcStatus > 0 : SERVER_ERRORS.has(grpcStatus);
  // A 4xx is the client's error, and only there.
  const isError = failed(outcome) || grpcFailed || (client && status >= 400);
  const type = cause ?? (grpcStatus > 0 ? String(grpcStatus) : String(status));
  return {
    traceId: span!.traceId,
    spanId: span!.spanId,
    ...(span!.parentId ? { parentSpanId: span!.parentId } : {}),
    ...(span!.state ? { traceState: span!.state } : {}),
    flags: 1,
    name: rpc ? `${rpc[1]}/${rpc[2]}` : method === '_OTHER' ? 'HTTP' : method,
    kind: KIND[facts.direction],
    startTimeUnixNano: nanoseconds(time),
    endTimeUnixNano: nanoseconds(time + duration),
    attributes: [
      ...attribute('http.request.method', method),
      ...attribute('http.request.method_original', method === '_OTHER' ? facts.method : undefined),
      ...attribute('server.address', host),
      ...attribute('server.port', port),
      ...attribute('network.protocol.name', 'http'),
      ...attribute('network.protocol.version', facts.version),
      ...(client
        ? attribute('url.full', `${scheme}://${facts.authority}${facts.path}`)
        : [...attribute('url.scheme', scheme), ...attribute('url.path', facts.path)]),
      ...attribute('network.peer.address', peer?.address),
      ...attribute('network.peer.port', peer?.port),
      ...attribute('http.response.status_code', status > 0 ? status : undefined),
      ...attribute('http.request.resend_count', client && retries > 0 ? retries : undefined),
      ...attribute('http.request.body.size', requestBytes),
      ...attribute('http.response.body.size', responseBytes),
      ...(rpc
        ? [
            ...attribute('rpc.system', 'grpc'),
            ...attribute('rpc.service', rpc[1]),
            ...attribute('rpc.method', rpc[2]),
            ...attribute('rpc.grpc.status_code', grpcStatus < 0 ? undefined : grpcStatus),
          ]
        : []),
      ...attribute('error.type', isError ? type : undefined),
      ...attribute('weir.destination', facts.destination),
      ...attribute('weir.backend', client ? backend : undefined),
      ...attribute('weir.revision', client ? endpoint?.revision : undefined),
      ...attribute('weir.client.id', facts.clientId),
    ],
    status: isError ? { code: ERROR, ...(cause ? { message: cause } : {}) } : {},
  };
}

/** The body of one export: `spans` of one proxy, described by the labels of its metrics. */
export function exportRequest(spans: readonly object[], labels: Record<string, string>): string {
  const { deployment, namespace, pod, revision } = labels;
  const resource = {
    attributes: [
      ...attribute('service.name', deployment || 'weir-proxy'),
      ...attribute('service.namespace', namespace),
      ...attribute('service.instance.id', pod),
      ...attribute('service.version', revision),
      ...attribute('k8s.namespace.name', namespace),
      ...attribute('k8s.deployment.name', deployment),
      ...attribute('k8s.pod.name', pod),
    ],
  };
  return JSON.stringify({
    resourceSpans: [{ resource, scopeSpans: [{ scope: { name: 'weir-proxy' }, spans }] }],
  });
}
