import { SYSTEM_NAMESPACE } from '../../api/names.ts';

export interface InstallOptions {
  namespace: string;
  /** Where the controller may act and the gate holds; none: everywhere. */
  namespaces: string[];
  image: string;
  /** How the gate is enforced: inside the API server, or by the webhooks of `weir mesh`. */
  admission: 'policies' | 'webhooks';
  /** Three replicas, spread, with disruption budgets. */
  ha: boolean;
  /** `local`: for one machine. Probes and scrapes every second, no requests for resources. */
  profile: 'cluster' | 'local';
  /** How injected pods' traffic comes to their sidecars: by iptables rules, or by a listener for each destination. */
  interception: 'transparent' | 'explicit';
  /** Collector of the proxies' spans, and the share of the traces begun by them; without it there is no tracing. */
  traceOtlp?: string;
  traceSample?: string;
  /** An existing Prometheus; without it Weir's own metrics store is installed. */
  prometheusUrl?: string;
}

export function installOptions(given: Partial<InstallOptions> = {}): InstallOptions {
  return {
    namespace: SYSTEM_NAMESPACE,
    namespaces: [],
    image: given.profile === 'local' ? 'weir' : 'ghcr.io/weir/weir:0.1.0',
    admission: 'webhooks',
    ha: false,
    profile: 'cluster',
    interception: given.profile === 'local' ? 'explicit' : 'transparent',
    ...given,
  };
}

export const PART_OF = { 'app.kubernetes.io/part-of': 'weir' };

export const componentLabels = (component: string): Record<string, string> => ({
  'app.kubernetes.io/name': `weir-${component}`,
  'app.kubernetes.io/component': component,
  ...PART_OF,
});
