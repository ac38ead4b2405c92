import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type KubernetesCluster, type KubernetesOptions, startKubernetes } from './cluster.ts';

/** Networks of 65,536 addresses that each worker has for its clusters, within 100.64.0.0/10 (RFC 6598). */
const EACH = 16;
const LISTEN = '0A';

/** First two octets of every address that somebody listens on in this network namespace; see proc_net_tcp(5). */
function inUse(): Set<string> {
  const lines = readFileSync('/proc/self/net/tcp', 'utf8').trim().split('\n').slice(1);
  const addresses = lines.map((line) => line.trim().split(/\s+/)).filter((fields) => fields[3] === LISTEN);
  return new Set(
    addresses.map(([, local = '']) => {
      // 32 bits in the machine's order: the last octet comes first.
      const [second, first] = [local.slice(4, 6), local.slice(6, 8)].map((octet) =>
        Number.parseInt(octet, 16),
      );
      return `${first}.${second}`;
    }),
  );
}

/** First two octets of a network for one test file's cluster, where nothing listens that a cluster before it left. */
export function freeNetwork(): string {
  const begin = 64 + EACH * (Number(process.env.JEST_WORKER_ID ?? 0) % 4);
  const used = inUse();
  const found = Array.from({ length: EACH }, (_, n) => `100.${begin + n}`).find((each) => !used.has(each));
  if (!found) throw new Error(`something listens on each of the ${EACH} networks from 100.${begin} on`);
  return found;
}

/** A cluster for one test file, beside the shared one. */
export function ownCluster(
  options: Omit<KubernetesOptions, 'dir' | 'prefix'> = {},
): Promise<KubernetesCluster> {
  const dir = mkdtempSync(join(tmpdir(), 'weir-own-'));
  return startKubernetes({ ...options, dir, prefix: freeNetwork() });
}
