/** What the rollout machine needs of the world around it. Features implement these; main wires them. */
export interface RouteRef {
  /** Namespace and name of the Rollout: the router names its objects after it. */
  namespace: string;
  rollout: string;
  rolloutUid: string;
  /** Root Service and port, and the two leaf Services. */
  service: string;
  port: number;
  stableService: string;
  canaryService: string;
}

export interface RouteObservation {
  /** Percentages as the router last saw them in its own store; undefined when it routes nothing yet. */
  weights: { stable: number; canary: number } | undefined;
  /** Version of what is in place (for SMI: the TrafficSplit's resourceVersion). */
  version: string | undefined;
  /** How many proxies route by exactly `version`. No subscriber counts as acknowledged for safety. */
  acknowledged: {
    done: boolean;
    proxies: number;
    of: number;
    /** What is waited for, where the counts alone would not tell. */
    why?: string;
  };
}

/** One traffic router: mesh (SMI TrafficSplit), later gateway-api, istio, … */
export interface TrafficRouter {
  /** Makes the route exist at 100/0 without changing weights that are already in place. */
  ensure(route: RouteRef, signal: AbortSignal): Promise<void>;
  /** Resolves with the version to wait for; writing the same weights twice returns the same version. */
  setWeights(
    route: RouteRef,
    weights: { stable: number; canary: number },
    signal: AbortSignal,
  ): Promise<string>;
  /** Cheap: answers from caches. */
  observe(route: RouteRef): RouteObservation;
  /** Calls back (at least) when `observe` of a Rollout may answer differently: key is `namespace/rollout`. */
  onChange(listener: (key: string) => void): () => void;
  /** Gives the route back at the end of a Rollout's life. */
  release(route: RouteRef, signal: AbortSignal): Promise<void>;
}
