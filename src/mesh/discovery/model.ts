/**
 * What a proxy knows of a destination. The control plane sends it, `weir proxy --config` reads it from a file; the
 * proxy makes no difference between the two. Plain data: JSON on the wire, no methods.
 */
export type Protocol = 'detect' | 'http1' | 'http2' | 'tcp';

export interface Endpoint {
  /** `ip:port` to connect to: the mesh port when `identity` is set, the application's otherwise. */
  address: string;
  /** SPIFFE URI expected in the peer's certificate; present = mutual TLS. */
  identity?: string;
  pod?: string;
  zone?: string;
}

export interface Backend {
  /** The leaf Service's name (or the root's own when nothing splits it). */
  name: string;
  /** Relative weight; 0 gets exactly no request. */
  weight: number;
  /** pod-template-hash of the pods, `dst_revision` in the metrics; per endpoint when mixed. */
  revision?: string;
  deployment?: string;
  endpoints: (Endpoint & { revision?: string; deployment?: string })[];
}

export interface Policy {
  /** Milliseconds for the whole response head; 0 = none. */
  timeout?: number;
  /** The same for each time that the request is sent. */
  attemptTimeout?: number;
  retries?: {
    max: number;
    on: ('connect' | '5xx')[];
    /** Retries allowed for 100 requests, and those a second on top. */
    budget?: { percent: number; minPerSecond: number };
  };
  /** Endpoints that fail are left out for a while. */
  breaker?: {
    /** So many failures in a row open it; 0: none do. */
    consecutive: number;
    /** Opens below this share of successes, 0 to 1, over `window`; 0: never. */
    successRate: number;
    /** Requests within `window` before the share means anything. */
    minRequests: number;
    /** Milliseconds. */
    window: number;
    /** Milliseconds that it stays open the first time. */
    eject: number;
  };
  /** Requests a second that one proxy lets through, and how many at once. */
  rateLimit?: { perSecond: number; burst: number };
  /** Requests in flight that one proxy lets through. */
  maxInFlight?: number;
  fault?: {
    /** Only of requests with all of these headers; names in lower case. */
    headers?: { name: string; value: string }[];
    abort?: { percent: number; status: number };
    delay?: { percent: number; for: number };
  };
  /** Whether endpoints of the proxy's own zone are preferred; they are unless told otherwise. */
  balancer?: { zones: 'prefer' | 'ignore' };
}

export interface Destination {
  /** `name.namespace:port`, or `ip:port` for what is not reached by a Service. */
  key: string;
  namespace: string;
  protocol: Protocol;
  backends: Backend[];
  policy: Policy;
  /**
   * Set while a TrafficSplit rules this destination. After `leaseSeconds` without word from the control plane the proxy
   * stops honouring the weights and sends to `fallback` alone, so an unreachable proxy can never keep feeding a canary.
   */
  split?: { name: string; version: string; leaseSeconds: number; fallback: string };
}

/* The stream. One long response down (GET /v1/discover), newline-delimited JSON; small POSTs up, tied by `session`. */

export type DownFrame =
  /** First frame of a response. `resumed` tells whether the session's subscriptions were still known. */
  | { type: 'hello'; session: string; leaseSeconds: number; resumed: boolean }
  /**
   * The whole state of one destination, at `version` (opaque, monotonic within a session). null: no such Service.
   * `alias`: the key is an address of a Service's, follow this one.
   */
  | { type: 'snapshot'; key: string; version: number; destination: Destination | null; alias?: string }
  /** Changes on top of `base`; a proxy that is not at `base` asks for the destination again. */
  | { type: 'delta'; key: string; base: number; version: number; changes: DestinationChange[] }
  /** The trust bundle (PEM) changed. */
  | { type: 'trust'; version: number; bundle: string }
  | { type: 'error'; key?: string; code: string; message: string }
  /** At least every leaseSeconds / 3: renews the lease of every split. */
  | { type: 'ping'; version: number };

export type DestinationChange =
  | { set: 'split'; split: Destination['split']; weights: Record<string, number> }
  | { set: 'policy'; policy: Policy }
  | { set: 'backend'; backend: Backend }
  | { remove: 'backend'; name: string }
  | { set: 'endpoint'; backend: string; endpoint: Backend['endpoints'][number] }
  | { remove: 'endpoint'; backend: string; address: string };

/** POST /v1/subscriptions: adds and removes; the first answers come down the stream as snapshots. */
export interface SubscriptionRequest {
  session: string;
  add: string[];
  remove: string[];
}

/** POST /v1/acks: the proxy now routes by these versions: no request starts on an older one. */
export interface AckRequest {
  session: string;
  acks: { key: string; version: number; split?: string }[];
  /** Version of the ping that this answers. A session that answers one ping promises to answer them all. */
  ping?: number;
}
