import { processes } from '../../e2e/support/cluster.ts';
import type { KubernetesCluster } from '../../kubernetes/support/cluster.ts';
import { round } from './measures.ts';
import { cpuSeconds } from './process.ts';

/** CPU seconds by process, for people to read. */
export type Spent = string;

/** What the processes of a cluster use from now on; the bench, which plays the users and the kubelet, is one of them. */
export function spending({ dir, plane, node }: KubernetesCluster): () => Spent {
  const weir = ['controller', 'mesh', 'metrics'].flatMap((name) =>
    processes(dir, `main.js ${name}`).map((pid) => [`weir ${name}`, pid] as const),
  );
  const others = Object.entries({ ...plane.children, node }).map(
    ([name, child]) => [name, child.pid!] as const,
  );
  const all = [...others, ...weir, ['bench', process.pid] as const];
  const before = new Map(all.map(([, pid]) => [pid, cpuSeconds(pid)]));
  return () => all.map(([name, pid]) => `${name} ${round(cpuSeconds(pid) - before.get(pid)!, 1)}`).join(', ');
}
