/** Real proxies as processes of their own, alone or as the two ends of a mutual-TLS path. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { Authority, createRoot } from '../../../src/mesh/identity/authority.ts';
import { createRequest } from '../../../src/mesh/identity/client/csr.ts';
import { freePort } from '../../support/ports.ts';

/** PEM files. */
export interface Identity {
  certificate: string;
  key: string;
  trust: string;
}

/** A proxy with what it tells of itself. */
export interface Running {
  port: number;
  pid: number;
  metrics(): Promise<string>;
  /** Requests and connections it has ended itself, by cause. */
  failed(cause: string): Promise<number>;
}

const ID = 'spiffe://weir.local/ns/test/sa/proxy';

/** Until something listens there; fails when `child` ends before. */
export async function listening(port: number, child: ChildProcess): Promise<void> {
  const end = Date.now() + 30_000;
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    const ok = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (ok) return;
    if (child.exitCode !== null || Date.now() > end) throw new Error(`nothing listens on port ${port}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export class Proxies {
  readonly #dir = mkdtempSync(join(tmpdir(), 'weir-conformance-'));
  readonly #children: ChildProcess[] = [];
  readonly #running = new Map<number, { admin: number; pid: number }>();
  #identity: Identity | undefined;

  #file(name: string, text: string): string {
    const path = join(this.#dir, name);
    writeFileSync(path, text);
    return path;
  }

  spawn(program: string, args: string[]): ChildProcess {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    this.#children.push(child);
    return child;
  }

  /** The process started last. */
  get last(): ChildProcess {
    return this.#children.at(-1)!;
  }

  /** All of them, in the order of their start. */
  get started(): readonly ChildProcess[] {
    return this.#children;
  }

  async #start(port: number, config: object): Promise<number> {
    const admin = await freePort();
    const file = this.#file(
      `${port}.yaml`,
      stringify({ admin: { listen: `127.0.0.1:${admin}` }, ...config }),
    );
    const child = this.spawn(process.execPath, ['dist/main.js', 'proxy', '--config', file]);
    this.#running.set(port, { admin, pid: child.pid! });
    await listening(port, child);
    return port;
  }

  /** The proxy whose first listener is on `port`. */
  running(port: number): Running {
    const { admin, pid } = this.#running.get(port)!;
    const metrics = async () => (await fetch(`http://127.0.0.1:${admin}/metrics`)).text();
    return {
      port,
      pid,
      metrics,
      failed: async (cause) => {
        const line = new RegExp(`weir_proxy_errors_total\\{cause="${cause}"\\} (\\d+)`);
        return Number(line.exec(await metrics())?.[1] ?? 0);
      },
    };
  }

  /** Port of an outbound listener to `upstream` (`host:port`). */
  async outbound(
    upstream: string,
    protocol: string,
    identity?: string,
    limits: object = {},
  ): Promise<number> {
    const port = await freePort();
    const endpoint = identity ? { address: upstream, identity } : { address: upstream };
    return this.#start(port, {
      ...(identity ? { identity: await this.credentials() } : {}),
      limits,
      outbound: [{ listen: `127.0.0.1:${port}`, destination: 'web' }],
      destinations: { web: { protocol, backends: [{ name: 'web', endpoints: [endpoint] }] } },
    });
  }

  /** Outbound listeners of one proxy, each to a server of its own; the proxy is that of the first. */
  async outbounds(upstreams: string[], protocol: string, limits: object = {}): Promise<number[]> {
    const ports: number[] = [];
    for (let n = 0; n < upstreams.length; n += 1) ports.push(await freePort());
    await this.#start(ports[0]!, {
      limits,
      outbound: ports.map((port, n) => ({ listen: `127.0.0.1:${port}`, destination: `web-${n}` })),
      destinations: Object.fromEntries(
        upstreams.map((address, n) => [
          `web-${n}`,
          { protocol, backends: [{ name: 'web', endpoints: [{ address }] }] },
        ]),
      ),
    });
    return ports;
  }

  /** Inbound listeners of one proxy that ask for certificates, each in front of a server of its own; as `outbounds`. */
  async inbounds(upstreams: string[], limits: object): Promise<number[]> {
    const ports: number[] = [];
    for (let n = 0; n < upstreams.length; n += 1) ports.push(await freePort());
    await this.#start(ports[0]!, {
      limits,
      identity: await this.credentials(),
      inbound: ports.map((port, n) => ({
        listen: `127.0.0.1:${port}`,
        forward: upstreams[n]!,
        tls: 'required',
      })),
    });
    return ports;
  }

  /** Port of an inbound listener in front of `upstream`. */
  async inbound(
    upstream: string,
    tls: 'off' | 'required',
    limits: object = {},
    protocol = 'detect',
  ): Promise<number> {
    const port = await freePort();
    return this.#start(port, {
      ...(tls === 'off' ? {} : { identity: await this.credentials() }),
      limits,
      inbound: [{ listen: `127.0.0.1:${port}`, forward: upstream, tls, protocol }],
    });
  }

  /** Port of an outbound listener whose requests go to `upstream` through a second proxy over mutual TLS. */
  async twoHops(upstream: string, protocol: string): Promise<number> {
    const inner = await this.inbound(upstream, 'required');
    return this.toPeer(inner, protocol);
  }

  /** Port of an outbound listener to the inbound one of another proxy. */
  toPeer(inner: number, protocol: string): Promise<number> {
    return this.outbound(`127.0.0.1:${inner}`, protocol, ID);
  }

  /** Of a peer in the mesh: all of these proxies have the same. */
  async credentials(): Promise<Identity> {
    if (this.#identity) return this.#identity;
    const authority = await Authority.load(await createRoot('weir.local'), { trustDomain: 'weir.local' });
    const { key, csr } = createRequest();
    const { certificate } = await authority.signRequest(csr, { spiffe: ID, dns: 'proxy.test.weir.local' });
    this.#identity = {
      certificate: this.#file('cert.pem', certificate),
      key: this.#file('key.pem', key),
      trust: this.#file('ca.pem', authority.bundle),
    };
    return this.#identity;
  }

  async stop(): Promise<void> {
    for (const child of this.#children.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    }
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
