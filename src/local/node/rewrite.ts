/** A mounted directory as the container names it, and where it really is. */
export interface Mount {
  mountPath: string;
  realPath: string;
}

const escapeRegExp = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/**
 * There are no bind mounts without privileges: wherever a mountPath occurs as a whole path, or as the head of one, the
 * real directory takes its place. Longer mounts first, for one may lie within another.
 */
export function rewritePaths(text: string, mounts: Mount[]): string {
  if (mounts.length === 0) return text;
  const sorted = mounts
    .map(({ mountPath, realPath }) => ({ path: mountPath.replace(/\/+$/, ''), realPath }))
    .filter(({ path }) => path !== '')
    .sort((a, b) => b.path.length - a.path.length);
  if (sorted.length === 0) return text;
  const pattern = new RegExp(
    `(?<![A-Za-z0-9._/-])(${sorted.map(({ path }) => escapeRegExp(path)).join('|')})(?![A-Za-z0-9._-])`,
    'g',
  );
  // One pass: what was put in must not be looked at again.
  return text.replace(pattern, (found) => sorted.find(({ path }) => path === found)!.realPath);
}

export interface ServiceName {
  name: string;
  namespace: string;
}

/** The Service that a host name means inside a namespace: `web`, `web.shop`, `web.shop.svc`, `….svc.cluster.local`. */
export function serviceOf(host: string, namespace: string): ServiceName | undefined {
  const labels = host.toLowerCase().replace(/\.$/, '').split('.');
  const [name, ns = namespace, ...rest] = labels;
  if (!name || !/^[a-z]([a-z0-9-]*[a-z0-9])?$/.test(name)) return undefined;
  const suffix = rest.join('.');
  return suffix === '' || suffix === 'svc' || suffix === 'svc.cluster.local'
    ? { name, namespace: ns }
    : undefined;
}

const URL_HOST = /\b([a-z][a-z0-9+.-]*:\/\/)([a-z0-9.-]+)(:\d+)?(?=[/?#\s,;"']|$)/gi;
const DEFAULT_PORTS: Record<string, number> = { 'http://': 80, 'https://': 443 };

/** Host names in URLs that could be Services. */
export function serviceHosts(text: string, namespace: string): ServiceName[] {
  return [...text.matchAll(URL_HOST)].flatMap(([, , host]) => serviceOf(host!, namespace) ?? []);
}

/** There is no DNS: URLs of Services get their address. `resolve` answers undefined for what is not a Service. */
export function rewriteServices(
  text: string,
  namespace: string,
  resolve: (service: ServiceName, port: number | undefined) => { address: string; port?: number } | undefined,
): string {
  return text.replace(URL_HOST, (whole, scheme: string, host: string, port: string | undefined) => {
    const service = serviceOf(host, namespace);
    const wanted = port ? Number(port.slice(1)) : DEFAULT_PORTS[scheme.toLowerCase()];
    const target = service && resolve(service, wanted);
    if (!target) return whole;
    const shown = target.port !== undefined && target.port !== wanted ? `:${target.port}` : (port ?? '');
    return `${scheme}${target.address}${shown}`;
  });
}
