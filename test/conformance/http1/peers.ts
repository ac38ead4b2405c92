/** HAProxy and nginx, as Debian configures them for this and no further, beside Weir. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../support/ports.ts';
import { listening, type Proxies } from '../support/proxies.ts';
import { type Case, OK } from './case.ts';
import { RawClient, RawServer, statuses } from './wire.ts';

/** Time a proxy has for an answer before it is taken to wait for more. */
const PATIENCE = 2_000;

const CONFIGS = {
  haproxy: (port: number, upstream: number, dir: string) => ({
    file: join(dir, 'haproxy.cfg'),
    args: (file: string) => ['-db', '-f', file],
    text: `global
  nbthread 1
defaults
  mode http
  timeout client 20s
  timeout server 20s
  timeout connect 5s
frontend in
  bind 127.0.0.1:${port}
  default_backend out
backend out
  server raw 127.0.0.1:${upstream}
`,
  }),
  nginx: (port: number, upstream: number, dir: string) => ({
    file: join(dir, 'nginx.conf'),
    args: (file: string) => ['-c', file, '-p', dir, '-e', join(dir, 'error.log')],
    text: `daemon off;
master_process off;
worker_processes 1;
pid ${dir}/nginx.pid;
events {}
http {
  access_log off;
  client_body_temp_path ${dir}/body;
  proxy_temp_path ${dir}/proxy;
  fastcgi_temp_path ${dir}/fastcgi;
  uwsgi_temp_path ${dir}/uwsgi;
  scgi_temp_path ${dir}/scgi;
  upstream raw { server 127.0.0.1:${upstream} max_fails=0; keepalive 4; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://raw;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Connection "";
    }
  }
}
`,
  }),
};

export type PeerName = keyof typeof CONFIGS;

/** `name 1.2.3`, or undefined where it is not installed. */
export function version(name: PeerName): string | undefined {
  const { stdout, stderr, status } = spawnSync(name, ['-v'], { encoding: 'utf8' });
  if (status !== 0) return undefined;
  return /\d+\.\d+\.\d+/.exec(stdout + stderr)?.[0];
}

export interface Outcome {
  /** Statuses of the answers; `closed`, or `waits` for more, without one. */
  answers: string;
  /** Requests that reached the server. */
  requests: number;
}

/** What comes of one case at whatever listens on `port`. */
export async function outcome(port: number, server: RawServer, each: Case): Promise<Outcome> {
  server.expect(each.reply ?? OK, each.replyCloses ?? false);
  const client = new RawClient(port);
  const came = () => statuses(client.received, each.send.startsWith('HEAD '));
  client.send(each.send);
  await client.until(() => client.closed || came().length >= each.answers.length, PATIENCE);
  const answers = came().join(' ') || (client.closed ? 'closed' : 'waits');
  const { requests } = server;
  client.destroy();
  return { answers, requests };
}

export class Peer {
  readonly #dir = mkdtempSync(join(tmpdir(), 'weir-peer-'));
  readonly server = new RawServer();
  port = 0;

  async start(name: PeerName, proxies: Proxies): Promise<this> {
    await this.server.start();
    this.port = await freePort();
    const { file, args, text } = CONFIGS[name](this.port, this.server.port, this.#dir);
    writeFileSync(file, text);
    const path = ['/usr/sbin', '/usr/local/sbin']
      .map((dir) => join(dir, name))
      .find((each) => existsSync(each));
    await listening(this.port, proxies.spawn(path ?? name, args(file)));
    return this;
  }

  stop(): void {
    this.server.stop();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
