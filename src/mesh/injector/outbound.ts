import type { EnvVar } from './pod.ts';

/** One explicit listener of the proxy: what the application connects to in place of the Service. */
export interface OutboundListener {
  listen: number;
  /** `name.namespace:port`. */
  destination: string;
}

export interface HostRules {
  namespace: string;
  clusterDomain: string;
  isService: (name: string, namespace: string) => boolean;
}

const FIRST_LISTENER = 14_001;
const LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
// The authority of an http URL anywhere in the value; user info and IPv6 literals do not match and stay as they are.
const HTTP_URL = /\bhttp:\/\/([a-z0-9](?:[-a-z0-9.]*[a-z0-9])?\.?)(?::([0-9]{1,5}))?(?=[/?#,;\s"']|$)/gi;

/** The Service a host name means for a pod of `namespace`, as cluster DNS would read it; undefined when it means none. */
export function serviceOfHost(
  host: string,
  rules: HostRules,
): { name: string; namespace: string } | undefined {
  const parts = host.toLowerCase().replace(/\.$/, '').split('.');
  const [name = '', namespace = rules.namespace, svc] = parts;
  if (!LABEL.test(name) || /^[0-9]+$/.test(name) || name === 'localhost' || !LABEL.test(namespace))
    return undefined;
  const suffix = parts.slice(2).join('.');
  // Said in full, it is a Service whether or not it has been created yet.
  if (svc === 'svc' && (suffix === 'svc' || suffix === `svc.${rules.clusterDomain}`))
    return { name, namespace };
  // A bare name can only be a Service of the pod's own namespace, applied or about to be in the same commit.
  if (parts.length === 1) return { name, namespace };
  return parts.length === 2 && rules.isService(name, namespace) ? { name, namespace } : undefined;
}

/** Gives each destination one listener, in the order in which they are asked for. */
export class Listeners {
  readonly #byDestination = new Map<string, number>();
  readonly #taken: Set<number>;
  #next = FIRST_LISTENER;

  constructor(taken: Iterable<number>) {
    this.#taken = new Set(taken);
  }

  for(destination: string): number {
    const known = this.#byDestination.get(destination);
    if (known !== undefined) return known;
    while (this.#taken.has(this.#next)) this.#next += 1;
    const listen = this.#next;
    this.#next += 1;
    this.#byDestination.set(destination, listen);
    return listen;
  }

  all(): OutboundListener[] {
    return [...this.#byDestination].map(([destination, listen]) => ({ listen, destination }));
  }
}

/** Points every http URL of a Service in the value at the proxy's listener; path, query and the rest stay. */
export function rewriteUrls(value: string, rules: HostRules, listeners: Listeners, podIp: string): string {
  return value.replace(HTTP_URL, (whole: string, host: string, port: string | undefined) => {
    const number = port === undefined ? 80 : Number(port);
    const service = serviceOfHost(host, rules);
    if (!service || number < 1 || number > 65_535) return whole;
    return `http://$(${podIp}):${listeners.for(`${service.name}.${service.namespace}:${number}`)}`;
  });
}

/** `orders:80, payments.shop:80` of annotation config.weir.dev/outbound. */
export function listenersOf(annotation: string, rules: HostRules, listeners: Listeners): void {
  for (const item of annotation.split(',')) {
    const [host = '', port = '80'] = item.trim().split(':');
    const [name = '', namespace = rules.namespace] = host.replace(/\.svc(\..*)?$/, '').split('.');
    if (LABEL.test(name) && LABEL.test(namespace) && /^[0-9]{1,5}$/.test(port))
      listeners.for(`${name}.${namespace}:${port}`);
  }
}

/**
 * The variable that holds the pod's address in `env`, and whether it must be put in front: `$(NAME)` expands only what
 * was declared earlier (EnvVar API).
 */
export function podIpVariable(env: EnvVar[]): { name: string; insert: boolean } {
  const index = env.findIndex(({ name }) => name === 'POD_IP');
  if (index < 0) return { name: 'POD_IP', insert: true };
  if (index === 0 && env[0]?.valueFrom?.fieldRef?.fieldPath === 'status.podIP')
    return { name: 'POD_IP', insert: false };
  return { name: 'WEIR_POD_IP', insert: true };
}
