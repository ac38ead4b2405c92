import { annotations, labels, ports } from '../../api/names.ts';
import { intercepted, type Wired } from './intercepted.ts';
import { type InjectOptions, type ResolvedInjectOptions, resolveInjectOptions } from './options.ts';
import { type HostRules, Listeners, listenersOf, podIpVariable, rewriteUrls } from './outbound.ts';
import {
  type Container,
  declaredPorts,
  IDENTITY_VOLUME,
  INIT_CONTAINER,
  type PodLike,
  PROXY_CONTAINER,
  RUN_VOLUME,
  TRUST_VOLUME,
} from './pod.ts';
import { restoreProbes } from './probes.ts';
import { explicitWiring, type InboundListener, proxyContainer, proxyVolumes } from './sidecar.ts';
import { readUndo, UNDO_ANNOTATION, type Undo } from './undo.ts';

const VOLUMES = new Set([TRUST_VOLUME, IDENTITY_VOLUME, RUN_VOLUME]);

/** Grows when the patch changes shape; written to the pod. */
const INJECTOR_VERSION = '1';

/** Why a pod is left as it is; undefined: it will be injected. */
export function skipReason(pod: PodLike, options: Pick<InjectOptions, 'enabled'>): string | undefined {
  const own = pod.metadata?.annotations?.[labels.inject] ?? pod.metadata?.labels?.[labels.inject];
  if (pod.metadata?.annotations?.[annotations.injected] !== undefined) return 'it has the sidecar already';
  if (allContainers(pod).some(({ name }) => name === PROXY_CONTAINER))
    return `it has a container named ${PROXY_CONTAINER}`;
  if (own === 'disabled') return `${labels.inject} is disabled on it`;
  if (!options.enabled && own !== 'enabled')
    return `neither it nor its namespace has ${labels.inject}: enabled`;
  if (pod.spec?.hostNetwork) return 'it uses the host network, whose ports are not its own';
  if ((pod.spec?.containers ?? []).length === 0) return 'it has no containers';
  return undefined;
}

/**
 * Adds the sidecar to a pod or pod template: pure, the same pod again for a pod that has it or must not have it, and
 * undone to the letter by `uninjectPodTemplate`. Application containers keep everything but their tcpSocket probes, which
 * the proxy then makes; with explicit listeners, everything but the http URLs of Services in their env values, which point
 * at the proxy afterwards.
 */
export function injectPodTemplate<P extends PodLike>(pod: P, options: InjectOptions): P {
  if (skipReason(pod, options) !== undefined) return pod;
  const resolved = resolveInjectOptions(options);
  const next = structuredClone(pod);
  const metadata = next.metadata ?? {};
  const spec = next.spec!;
  const undo: Undo = { env: {}, podIp: {}, annotations: [], created: next.metadata ? [] : ['metadata'] };
  next.metadata = metadata;
  const containers = spec.containers!;

  const told = withDefaults(next, options.defaults);
  const wired =
    resolved.interception === 'transparent'
      ? intercepted(told, resolved, undo)
      : listenersFor(told, resolved, undo);
  const sidecar = proxyContainer(told, resolved, wired.wiring);
  const native = resolved.sidecar === 'native';
  // A native sidecar serves the pod's other init containers; without one, rules would cut them off, so they come last.
  const first = [...(native ? wired.init : []), ...(native ? [sidecar] : [])];
  const last = native ? [] : wired.init;
  if (first.length + last.length > 0) {
    if (!spec.initContainers) undo.created.push('initContainers');
    spec.initContainers = [...first, ...(spec.initContainers ?? []), ...last];
  }
  if (!native) spec.containers = [...containers, sidecar];
  if (!spec.volumes) undo.created.push('volumes');
  spec.volumes = [...(spec.volumes ?? []), ...proxyVolumes(), ...wired.volumes];

  if (!metadata.annotations) undo.created.push('annotations');
  const added: Record<string, string> = {
    [annotations.injected]: INJECTOR_VERSION,
    ...wired.annotations,
    // Who scrapes the application already keeps doing so: one pod has one set of these annotations.
    ...(metadata.annotations?.[annotations.scrape] === undefined
      ? {
          [annotations.scrape]: 'true',
          [annotations.scrapePort]: String(wired.wiring.admin),
          [annotations.scrapePath]: '/metrics',
        }
      : {}),
  };
  const kept = metadata.annotations ?? {};
  undo.annotations = Object.keys(added).filter((name) => kept[name] === undefined);
  metadata.annotations = { ...added, ...kept, [UNDO_ANNOTATION]: JSON.stringify(undo) };
  return next;
}

/** The same pod (its spec is shared) with the namespace's settings beneath its own. */
function withDefaults(pod: PodLike, defaults: Record<string, string> = {}): PodLike {
  const settings = Object.entries(defaults).filter(([name]) => name.startsWith(annotations.configPrefix));
  if (settings.length === 0) return pod;
  const { metadata } = pod;
  return {
    ...pod,
    metadata: { ...metadata, annotations: { ...Object.fromEntries(settings), ...metadata?.annotations } },
  };
}

/** Explicit interception: a mesh port for each port of the application, a listener for each Service in its env. */
function listenersFor(pod: PodLike, options: ResolvedInjectOptions, undo: Undo): Wired {
  const containers = pod.spec?.containers ?? [];
  const own = pod.metadata?.annotations;
  const taken = new Set([...declaredPorts(pod), ports.admin]);
  const inbound: InboundListener[] = [];
  for (const forward of portsOf(containers, own)) {
    let listen = inbound.at(-1) ? inbound.at(-1)!.listen + 1 : ports.inbound;
    while (taken.has(listen)) listen += 1;
    inbound.push({ listen, forward });
  }
  const rules: HostRules = options;
  const listeners = new Listeners([...taken, ...inbound.map(({ listen }) => listen)]);
  // First, so that the ports an application is told to use do not move when its env changes.
  listenersOf(own?.[`${annotations.configPrefix}outbound`] ?? '', rules, listeners);
  for (const container of containers) rewriteEnv(container, rules, listeners, undo);
  return {
    wiring: explicitWiring(inbound, listeners.all()),
    init: [],
    volumes: [],
    annotations: {
      [annotations.inboundPorts]: JSON.stringify(
        Object.fromEntries(inbound.map(({ listen, forward }) => [String(forward), listen])),
      ),
    },
  };
}

/** Takes the sidecar out again; a pod without it comes back as it is. */
export function uninjectPodTemplate<P extends PodLike>(pod: P): P {
  const undo = readUndo(pod);
  if (!undo) return pod;
  const next = structuredClone(pod);
  const { metadata, spec } = next;
  if (!metadata?.annotations || !spec) return pod;
  const isProxy = ({ name }: { name: string }) => name === PROXY_CONTAINER || name === INIT_CONTAINER;
  if (spec.containers) spec.containers = spec.containers.filter((each) => !isProxy(each));
  if (spec.initContainers) spec.initContainers = spec.initContainers.filter((each) => !isProxy(each));
  spec.volumes = (spec.volumes ?? []).filter(({ name }) => !VOLUMES.has(name));
  for (const container of [...(spec.containers ?? []), ...(spec.initContainers ?? [])]) {
    restoreEnv(container, undo);
    restoreProbes(container, undo.probes?.[container.name] ?? {});
  }
  for (const name of [...undo.annotations, UNDO_ANNOTATION]) delete metadata.annotations[name];
  if (undo.created.includes('annotations') && Object.keys(metadata.annotations).length === 0)
    delete metadata.annotations;
  if (undo.created.includes('metadata') && Object.keys(metadata).length === 0) delete next.metadata;
  for (const name of ['initContainers', 'volumes'] as const)
    if (undo.created.includes(name) && spec[name]?.length === 0) delete spec[name];
  return next;
}

const allContainers = (pod: PodLike): Container[] => [
  ...(pod.spec?.containers ?? []),
  ...(pod.spec?.initContainers ?? []),
];

/** TCP ports of the application, in order, less those it wants left alone. */
function portsOf(containers: Container[], own: Record<string, string> = {}): number[] {
  const skipped = new Set(
    (own[`${annotations.configPrefix}skip-inbound-ports`] ?? '')
      .split(',')
      .map((each) => Number(each.trim())),
  );
  const found = containers.flatMap(({ ports: declared = [] }) =>
    declared.filter(({ protocol = 'TCP' }) => protocol === 'TCP').map(({ containerPort }) => containerPort),
  );
  return [...new Set(found)].filter((port) => !skipped.has(port));
}

function rewriteEnv(container: Container, rules: HostRules, listeners: Listeners, undo: Undo): void {
  const env = container.env ?? [];
  const podIp = podIpVariable(env);
  const before: Record<string, string> = {};
  for (const variable of env) {
    if (variable.value === undefined) continue;
    const value = rewriteUrls(variable.value, rules, listeners, podIp.name);
    if (value === variable.value) continue;
    before[variable.name] = variable.value;
    variable.value = value;
  }
  if (Object.keys(before).length === 0) return;
  undo.env[container.name] = before;
  if (!podIp.insert) return;
  undo.podIp[container.name] = podIp.name;
  container.env = [{ name: podIp.name, valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }, ...env];
}

function restoreEnv(container: Container, undo: Undo): void {
  const before = undo.env[container.name];
  if (!before || !container.env) return;
  const inserted = undo.podIp[container.name];
  container.env = container.env
    .filter(({ name }) => name !== inserted)
    .map((variable) =>
      variable.value !== undefined && before[variable.name] !== undefined
        ? { ...variable, value: before[variable.name]! }
        : variable,
    );
}
