import type { Observation, Outcome } from '../observation.ts';

export interface AccessRecord {
  time: string;
  direction: 'inbound' | 'outbound';
  method: string;
  authority: string;
  path: string;
  protocol: string;
  status: number;
  grpcStatus?: number;
  /** Why the proxy answered itself or broke off. */
  cause?: string;
  requestBytes: number;
  responseBytes: number;
  /** Milliseconds to the end of the response, and to its head. */
  durationMs: number;
  headMs?: number;
  retries?: number;
  destination: string;
  backend?: string;
  upstream?: string;
  revision?: string;
  clientId?: string;
  traceId?: string;
  tls: boolean;
}

const round = (milliseconds: number) => Math.round(milliseconds * 1000) / 1000;

/** What the access log and taps tell of a request: no headers, no query, no bodies. Pure. */
export function recordOf(
  { facts, time, requestBytes, responseBytes }: Observation,
  { status, grpcStatus, cause, duration, headed, retries, backend, endpoint }: Outcome,
  ownRevision: string | undefined,
): AccessRecord {
  const { direction, method, authority, path, version, destination, clientId, traceId, secure } = facts;
  const outbound = direction === 'outbound';
  const revision = outbound ? endpoint?.revision : ownRevision;
  return {
    time: new Date(time).toISOString(),
    direction,
    method,
    authority,
    path,
    protocol: `HTTP/${version}`,
    status,
    ...(grpcStatus >= 0 ? { grpcStatus } : {}),
    ...(cause ? { cause } : {}),
    requestBytes,
    responseBytes,
    durationMs: round(duration),
    ...(headed === undefined ? {} : { headMs: round(headed) }),
    ...(retries > 0 ? { retries } : {}),
    destination,
    ...(outbound && backend ? { backend } : {}),
    ...(endpoint ? { upstream: endpoint.address } : {}),
    ...(revision ? { revision } : {}),
    ...(clientId ? { clientId } : {}),
    ...(traceId ? { traceId } : {}),
    tls: outbound ? endpoint?.identity !== undefined : secure,
  };
}
