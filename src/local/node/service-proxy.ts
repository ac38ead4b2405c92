import net from 'node:net';
import type { KubeObject } from '../../api/meta.ts';
import type { Informer } from '../../kube/index.ts';
import type { Logger } from '../../lib/log.ts';

interface ServiceObject extends KubeObject {
  spec: { clusterIP?: string; ports?: { name?: string; port: number; protocol?: string }[] };
}

interface SliceObject extends KubeObject {
  endpoints?: { addresses: string[]; conditions?: { ready?: boolean } }[];
  ports?: { name?: string; port?: number }[];
}

export interface Backend {
  host: string;
  port: number;
}

const SERVICE_NAME = 'kubernetes.io/service-name';
// Without privileges, ports below 1024 are offered this much higher.
const UNPRIVILEGED_OFFSET = 20_000;
const CONNECT_TIMEOUT_MS = 1000;

/** The ready endpoints of one Service port, from its slices. */
export function backendsOf(slices: SliceObject[], portName: string): Backend[] {
  const found = new Map<string, Backend>();
  for (const { endpoints, ports } of slices) {
    const port = ports?.find(({ name = '' }) => name === portName)?.port;
    if (port === undefined) continue;
    for (const { addresses, conditions } of endpoints ?? []) {
      if (conditions?.ready === false) continue;
      for (const host of addresses) found.set(`${host}:${port}`, { host, port });
    }
  }
  return [...found.values()];
}

/**
 * A userspace kube-proxy: listens on each Service's ClusterIP and forwards TCP to its ready endpoints in turn. With no
 * endpoint, or none that accepts, the connection is reset, as a cluster would refuse it.
 */
export class ServiceProxy {
  readonly #log: Logger;
  readonly #services: Informer<ServiceObject>;
  readonly #slices: Informer<SliceObject>;
  readonly #servers = new Map<string, net.Server>();
  readonly #sockets = new Set<net.Socket>();
  readonly #turns = new Map<string, number>();
  #offset = 0;

  constructor(options: { services: Informer<ServiceObject>; slices: Informer<SliceObject>; log: Logger }) {
    this.#services = options.services;
    this.#slices = options.slices;
    this.#log = options.log;
  }

  /** The Services index of the EndpointSlice informer that this proxy needs. */
  static sliceIndexers = {
    service: (slice: KubeObject) => {
      const service = slice.metadata.labels?.[SERVICE_NAME];
      return service ? [`${slice.metadata.namespace}/${service}`] : [];
    },
  };

  async start(probeAddress: string): Promise<void> {
    if (!(await canListen(probeAddress, 80))) this.#offset = UNPRIVILEGED_OFFSET;
    this.#services.onChange(({ type, object, previous }) => {
      for (const service of previous ? [previous] : []) this.#close(service, object);
      if (type === 'deleted') this.#close(object);
      else this.#open(object);
    });
  }

  /** The port under which a Service's port is reachable on its ClusterIP here. */
  reachablePort(port: number): number {
    return port < 1024 ? port + this.#offset : port;
  }

  stop(): void {
    for (const server of this.#servers.values()) server.close();
    for (const socket of this.#sockets) socket.destroy();
    this.#servers.clear();
  }

  #ports(service: ServiceObject): { key: string; address: string; port: number; name: string }[] {
    const { clusterIP, ports = [] } = service.spec;
    if (!clusterIP || !net.isIP(clusterIP)) return [];
    return ports
      .filter(({ protocol = 'TCP' }) => protocol === 'TCP')
      .map(({ port, name = '' }) => ({
        key: `${clusterIP}:${port}/${name}`,
        address: clusterIP,
        port,
        name,
      }));
  }

  #open(service: ServiceObject): void {
    const id = `${service.metadata.namespace}/${service.metadata.name}`;
    for (const { key, address, port, name } of this.#ports(service)) {
      if (this.#servers.has(key)) continue;
      const server = net.createServer(
        { allowHalfOpen: true, noDelay: true },
        (socket) => void this.#forward(socket, id, name),
      );
      server.on('error', (error) =>
        this.#log.warn({ service: id, address, port, error }, 'cannot listen for a Service'),
      );
      server.listen({ host: address, port: this.reachablePort(port) });
      this.#servers.set(key, server);
    }
  }

  #close(service: ServiceObject, replacement?: ServiceObject): void {
    const kept = new Set(replacement ? this.#ports(replacement).map(({ key }) => key) : []);
    for (const { key } of this.#ports(service)) {
      if (kept.has(key)) continue;
      this.#servers.get(key)?.close();
      this.#servers.delete(key);
    }
  }

  async #forward(client: net.Socket, id: string, portName: string): Promise<void> {
    this.#track(client);
    const backends = backendsOf(this.#slices.store.byIndex('service', id), portName);
    const turn = this.#turns.get(id) ?? 0;
    this.#turns.set(id, (turn + 1) % 1_000_000);
    for (let index = 0; index < backends.length; index += 1) {
      const upstream = await connect(backends[(turn + index) % backends.length]!);
      if (!upstream) continue;
      this.#track(upstream);
      if (client.destroyed) return void upstream.destroy();
      const abort = () => {
        client.destroy();
        upstream.destroy();
      };
      client.on('error', abort).on('close', () => upstream.destroySoon());
      upstream.on('error', abort).on('close', () => client.destroySoon());
      client.pipe(upstream);
      upstream.pipe(client);
      return;
    }
    client.resetAndDestroy();
  }

  #track(socket: net.Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => this.#sockets.delete(socket));
  }
}

function connect({ host, port }: Backend): Promise<net.Socket | undefined> {
  return new Promise((resolve) => {
    const socket = net.connect({ host, port, allowHalfOpen: true, noDelay: true });
    const timer = setTimeout(() => socket.destroy(), CONNECT_TIMEOUT_MS);
    socket.once('connect', () => {
      clearTimeout(timer);
      resolve(socket);
    });
    socket.once('close', () => {
      clearTimeout(timer);
      resolve(undefined);
    });
    socket.once('error', () => {});
  });
}

function canListen(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code !== 'EACCES' && error.code !== 'EPERM'),
    );
    server.listen({ host, port }, () => server.close(() => resolve(true)));
  });
}
