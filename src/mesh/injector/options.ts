import { MESH_SERVICE, ports, SYSTEM_NAMESPACE, TRUST_DOMAIN } from '../../api/names.ts';

export interface InjectOptions {
  /** Of the pod; what short Service names are relative to. */
  namespace: string;
  /** Of the proxy. */
  image: string;
  /** Is there a Service of this name? Decides whether `http://orders` means one. */
  isService: (name: string, namespace: string) => boolean;
  /** Inject unless the pod says no: the namespace's label, or `weir inject`. A pod's own `enabled` suffices too. */
  enabled: boolean;
  /** Annotations of the namespace: its `config.weir.dev/…` count where the pod has no such annotation of its own. */
  defaults?: Record<string, string>;
  /** Name of the Deployment (or other workload) when it is known; otherwise read from the pod's owner or labels. */
  workload?: string;
  meshAddress?: string;
  trustDomain?: string;
  clusterDomain?: string;
  /**
   * `container`: beside the others. `native`: an init container with `restartPolicy: Always` (KEP-753), which is up
   * before the application and outlives it, where the cluster has them.
   */
  sidecar?: 'container' | 'native';
  /**
   * `transparent`: an init container sends all TCP through the sidecar by iptables rules, and the application stays as it
   * is. `explicit`: without privileges, a listener for each destination (ADR 0003).
   */
  interception?: 'transparent' | 'explicit';
  /** URL of a collector for spans of all proxies (OTLP/HTTP), unless their pods say otherwise; without: none. */
  traceOtlp?: string | undefined;
  /** Share of the traces begun by proxies that are recorded, 0 to 1. */
  traceSample?: string | undefined;
}

export type ResolvedInjectOptions = Required<
  Omit<InjectOptions, 'workload' | 'defaults' | 'traceOtlp' | 'traceSample'>
> &
  Pick<InjectOptions, 'workload' | 'traceOtlp' | 'traceSample'>;

export const resolveInjectOptions = (options: InjectOptions): ResolvedInjectOptions => ({
  meshAddress: `https://${MESH_SERVICE}.${SYSTEM_NAMESPACE}.svc:${ports.discovery}`,
  trustDomain: TRUST_DOMAIN,
  clusterDomain: 'cluster.local',
  sidecar: options.interception === 'transparent' ? 'native' : 'container',
  interception: 'explicit',
  ...options,
});
