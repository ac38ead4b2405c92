/** Every label, annotation, port and well-known name that more than one part of Weir must spell the same way. */
export const GROUP = 'weir.dev';

export const labels = {
  /** Namespace or pod: `enabled` | `disabled`. */
  inject: 'weir.dev/inject',
  /** On everything Weir creates for a Rollout: the Rollout's name. */
  rollout: 'weir.dev/rollout',
  /** On what Weir creates: stable | canary | preview. */
  role: 'weir.dev/role',
  managedBy: 'app.kubernetes.io/managed-by',
  podTemplateHash: 'pod-template-hash',
} as const;

export const annotations = {
  /** CLI verbs, consumed by the controller: value is JSON {id, by, at, …}. */
  approve: 'weir.dev/approve',
  promote: 'weir.dev/promote',
  abort: 'weir.dev/abort',
  retry: 'weir.dev/retry',
  /** Beside the removal of `paused`: says who went on. */
  resume: 'weir.dev/resume',
  /** Present while a person holds the running rollout (`weir rollouts pause`). */
  paused: 'weir.dev/paused',
  /** Digest of the pod template that a canary ReplicaSet of Weir's runs. */
  digest: 'weir.dev/template-digest',
  /** On an injected pod: JSON map of application port -> mesh (mTLS) port, e.g. {"8080":4143}. */
  inboundPorts: 'weir.dev/inbound-ports',
  /** On a pod whose traffic is intercepted: the inbound ports that are not, e.g. "4191,9000-9100". */
  notIntercepted: 'weir.dev/not-intercepted',
  /** On an injected pod: the injector's version, so that a second injection changes nothing. */
  injected: 'weir.dev/injected',
  configPrefix: 'config.weir.dev/',
  scrape: 'prometheus.io/scrape',
  scrapePort: 'prometheus.io/port',
  scrapePath: 'prometheus.io/path',
} as const;

export const FINALIZER = 'weir.dev/rollout';
export const FIELD_MANAGER = 'weir-controller';

export const SYSTEM_NAMESPACE = 'weir';
export const CONTROLLER_SERVICE_ACCOUNT = 'weir-controller';
export const MESH_SERVICE = 'weir-mesh';
export const METRICS_SERVICE = 'weir-metrics';
export const TRUST_DOMAIN = 'weir.local';

/** ConfigMap per guarded namespace: `deployment.<name>` -> Rollout. */
export const GATE_CONFIG_MAP = 'weir-gate';
/**
 * The same for Services that a run has pinned: `pin.<service>` -> `hash|key=value|…`. Not in the one above: what names all Deployments
 * of a namespace is dear to write, and to read for each write of a Service.
 */
export const PINS_CONFIG_MAP = 'weir-pins';
/** Secret with the mesh CA (tls.crt, tls.key) and ConfigMap with its bundle (ca.pem), both in the system namespace. */
export const ISSUER_SECRET = 'weir-identity-issuer';
export const TRUST_CONFIG_MAP = 'weir-trust';
/** Audience of the ServiceAccount token that a proxy exchanges for a certificate. */
export const IDENTITY_AUDIENCE = 'weir-identity';

/** User of an intercepting proxy. Not that of Weir's image (65532, which many applications run as): connections of this user leave the pod untouched. */
export const PROXY_UID = 2102;

export const ports = {
  outbound: 4140,
  inbound: 4143,
  admin: 4191,
  tap: 4190,
  /** `weir mesh`: discovery, identity, acknowledgements (mTLS or server-side TLS). */
  discovery: 8443,
  /** `weir mesh`: admission webhooks (HTTPS). */
  webhook: 9443,
  /** Health and /metrics of controller and mesh. */
  health: 9090,
  metrics: 9090,
} as const;

export const serviceAccountUser = (namespace: string, name: string): string =>
  `system:serviceaccount:${namespace}:${name}`;
export const spiffeId = (
  namespace: string,
  serviceAccount: string,
  trustDomain: string = TRUST_DOMAIN,
): string => `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;
