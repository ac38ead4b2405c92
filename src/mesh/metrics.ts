import { MetricsRegistry } from '../controller/index.ts';
import type { ControlPlaneStats } from './control-plane.ts';

/** /metrics of `weir mesh`; `stats` is undefined until the control plane serves. */
export function meshMetrics(stats: () => ControlPlaneStats | undefined): MetricsRegistry {
  const registry = new MetricsRegistry();
  const sessions = registry.gauge('weir_mesh_sessions', 'Proxies known: connected, or within their lease.');
  const streams = registry.gauge('weir_mesh_streams', 'Open discovery streams.');
  const destinations = registry.gauge('weir_mesh_destinations', 'Destinations followed or split.');
  const watchers = registry.gauge('weir_mesh_acknowledgement_watchers', 'Controllers that watch.');
  const settled = registry.gauge(
    'weir_mesh_settled',
    '1 when acknowledgement counts are complete after a start.',
  );
  const namespaces = registry.gauge('weir_mesh_trust_namespaces', 'Namespaces that hold the trust bundle.');
  const issued = registry.counter('weir_mesh_certificates_issued_total', 'Certificates issued.');
  const refused = registry.counter(
    'weir_mesh_certificates_refused_total',
    'Requests for certificates refused.',
  );
  const seen = { issued: 0, refused: 0 };
  registry.onCollect(() => {
    const now = stats();
    if (!now) return;
    sessions.set(now.sessions);
    streams.set(now.connected);
    destinations.set(now.destinations);
    watchers.set(now.watchers);
    settled.set(now.settled ? 1 : 0);
    namespaces.set(now.trustNamespaces);
    issued.add(now.certificatesIssued - seen.issued);
    refused.add(now.certificatesRefused - seen.refused);
    Object.assign(seen, { issued: now.certificatesIssued, refused: now.certificatesRefused });
  });
  return registry;
}
