import { MetricsRegistry } from '../controller/index.ts';
import type { ControlPlaneStats } from './control-plane.ts';

/** /metrics of `weir mesh`; `stats` is undefined until the control plane serves. */
export function meshMetrics(stats: () => ControlPlaneStats | undefined): MetricsRegistry {
  const registry = new MetricsRegistry();
  const gauge = (name: string, help: string, value: (now: ControlPlaneStats) => number) =>
    registry.gauge(`weir_mesh_${name}`, help, () => {
      const now = stats();
      return now && value(now);
    });
  gauge('sessions', 'Proxies known: connected, or within their lease.', ({ sessions }) => sessions);
  gauge('streams', 'Open discovery streams.', ({ connected }) => connected);
  gauge('destinations', 'Destinations followed or split.', ({ destinations }) => destinations);
  gauge('acknowledgement_watchers', 'Controllers that watch.', ({ watchers }) => watchers);
  gauge('settled', '1 when acknowledgement counts are complete after a start.', ({ settled }) =>
    settled ? 1 : 0,
  );
  gauge(
    'trust_namespaces',
    'Namespaces that hold the trust bundle.',
    ({ trustNamespaces }) => trustNamespaces,
  );
  registry.count(
    'weir_mesh_certificates_issued_total',
    'Certificates issued.',
    () => stats()?.certificatesIssued,
  );
  registry.count(
    'weir_mesh_certificates_refused_total',
    'Requests for certificates refused.',
    () => stats()?.certificatesRefused,
  );
  return registry;
}
