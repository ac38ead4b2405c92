/**
 * A tcpSocket probe asks whether somebody accepts on a port; with interception that is always the proxy. So the proxy
 * asks in the kubelet's place: the probe becomes a request to its admin port, for the same port of the application.
 */
import type { Container } from './pod.ts';

const PROBES = ['livenessProbe', 'readinessProbe', 'startupProbe'] as const;
type ProbeName = (typeof PROBES)[number];
type Probe = { tcpSocket?: { host?: string; port: number | string }; [field: string]: unknown };

/** What was there before: probe -> its tcpSocket. */
export type ReplacedProbes = Partial<Record<ProbeName, Probe['tcpSocket']>>;

/** Changes the container; undefined when it has no such probe. */
export function redirectProbes(container: Container, admin: number): ReplacedProbes | undefined {
  const replaced: ReplacedProbes = {};
  for (const name of PROBES) {
    const probe = container[name] as Probe | undefined;
    // With a host it is about another machine, and no proxy of this pod comes into it.
    if (!probe?.tcpSocket || probe.tcpSocket.host) continue;
    const port = numberOf(container, probe.tcpSocket.port);
    if (port === undefined) continue;
    const { tcpSocket, ...rest } = probe;
    replaced[name] = tcpSocket;
    container[name] = { ...rest, httpGet: { path: `/probe/tcp/${port}`, port: admin } };
  }
  return Object.keys(replaced).length > 0 ? replaced : undefined;
}

export function restoreProbes(container: Container, replaced: ReplacedProbes): void {
  for (const name of PROBES) {
    const tcpSocket = replaced[name];
    const probe = container[name] as Probe | undefined;
    if (tcpSocket === undefined || !probe) continue;
    const { httpGet: _httpGet, ...rest } = probe;
    container[name] = { ...rest, tcpSocket };
  }
}

/** A port may go by the name it has in the container. */
function numberOf({ ports = [] }: Container, port: number | string): number | undefined {
  if (typeof port === 'number') return port;
  return ports.find(({ name }) => name === port)?.containerPort;
}
