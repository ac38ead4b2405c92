/** New connections with mutual TLS, one handshake each (openssl s_time): what they cost whoever is connected to. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { freePort } from '../../support/ports.ts';
import type { Row } from '../row.ts';
import { cpuMicros, measure, type Path, type Sample } from './measure.ts';
import type { Identity, Setup } from './setup.ts';

const CLIENTS = 2;
const SECONDS = 2;

async function shake(openssl: string, { files, both }: Identity, path: Path): Promise<Sample> {
  const before = cpuMicros(path);
  const args = ['s_time', '-connect', `127.0.0.1:${path.port}`, '-new', '-tls1_3', '-time', String(SECONDS)];
  const own = ['-cert', both, '-key', files.key, '-CAfile', files.trust];
  const each = () => promisify(execFile)(openssl, [...args, ...own]);
  const counts = await Promise.all(Array.from({ length: CLIENTS }, each));
  const made = counts.reduce(
    (sum, { stdout }) => sum + Number(/(\d+) connections in \d+ real seconds/.exec(stdout)?.[1] ?? 0),
    0,
  );
  if (made === 0) throw new Error(`${path.name}: openssl s_time said\n${counts[0]!.stdout}`);
  return { micros: (cpuMicros(path) - before) / made, rate: made / SECONDS };
}

export async function handshakeRows(
  setup: Setup,
  { openssl, nginx, haproxy }: { openssl: string; nginx: string; haproxy: string | undefined },
  upstream: number,
  identity: Identity,
  log: (line: string) => void,
): Promise<Row[]> {
  const { files, both } = identity;
  const address = `127.0.0.1:${upstream}`;
  const [own, second, third] = [await freePort(), await freePort(), await freePort()];
  const inbound = [{ listen: `127.0.0.1:${own}`, forward: address, tls: 'required' }];
  const paths: Path[] = [
    { name: 'weir', port: own, processes: [await setup.weir(own, { identity: files, inbound })] },
  ];
  if (haproxy) {
    const bind = ` ssl crt ${both} verify required ca-file ${files.trust}`;
    paths.push({
      name: 'haproxy',
      port: second,
      processes: [await setup.haproxy(haproxy, bind, address, second)],
    });
  }
  const tls = `ssl_certificate ${files.certificate}; ssl_certificate_key ${files.key}; ssl_protocols TLSv1.3; ssl_client_certificate ${files.trust}; ssl_verify_client on;`;
  const pass = `proxy_pass http://${address};`;
  paths.push({ name: 'nginx', port: third, processes: [await setup.nginx(nginx, third, pass, tls, ' ssl')] });
  return measure('connections with mTLS', paths, (path) => shake(openssl, identity, path), {
    per: { name: 'handshake', requests: 1 },
    log,
  });
}
