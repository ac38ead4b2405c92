/** What a proxy runs from, normalised: milliseconds and plain JSON. The CLI makes it from YAML, the sidecar from env. */
import type { Destination } from '../discovery/model.ts';
import type { Limits } from './runtime.ts';
import type { TracingConfig } from './tracing/tracer.ts';

export interface InboundConfig {
  /** `host:port`. */
  listen: string;
  forward: string;
  tls: 'required' | 'permissive' | 'off';
  protocol?: Destination['protocol'];
}

export interface OutboundConfig {
  listen: string;
  /** Key of `destinations`, or of the discovery stream. */
  destination: string;
}

/** Connections that iptables rules send here, whatever they were made to. */
export interface InterceptConfig {
  /** Ports of this proxy, on loopback and on the pod's address. */
  outbound: number;
  inbound: number;
  /** The proxy's user: the one that the rules leave alone. */
  uid: number;
  /** Inbound ports of which only bytes are passed on. */
  opaque: { from: number; to: number }[];
  /** DNS form of this pod's identity, which peers name in their handshakes. */
  name: string;
}

export interface ProxyConfig {
  intercept?: InterceptConfig;
  admin?: { listen: string };
  /** Files, PEM. */
  identity?: { certificate: string; key: string; trust: string };
  inbound: InboundConfig[];
  outbound: OutboundConfig[];
  destinations: Record<string, Destination>;
  limits: Partial<Limits>;
  tracing?: TracingConfig;
  /** Where to: a path, or `-` for stdout. */
  accessLog?: { file: string };
  /** Where this proxy runs: endpoints of the same zone are preferred. */
  zone?: string;
  /** Labels on every series. */
  labels?: Record<string, string>;
  /** Milliseconds from SIGTERM to the hard stop. */
  grace?: number;
}

/** `host:port`, `[::1]:port` or `:port` (all addresses of `fallback`). */
export function splitAddress(address: string, fallback: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
  return { host: host === '' ? fallback : host, port: Number(address.slice(colon + 1)) };
}
