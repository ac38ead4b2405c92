import { readFileSync } from 'node:fs';
import { eventually, processes } from '../../e2e/support/cluster.ts';
import type { KubernetesCluster } from '../../kubernetes/support/cluster.ts';
import { round } from './measures.ts';

/** Seconds that a process has been running: what the machine has been up for, less field 22 of proc_pid_stat(5). */
function ageSeconds(pid: number, ticks: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const started = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]) / ticks;
  return Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) - started;
}

/** Ends the controller, which its node starts again. Seconds from the new process's start until its caches are complete. */
export async function restart(
  { dir }: KubernetesCluster,
  address: () => Promise<string>,
  ticks: number,
): Promise<number> {
  const find = () => processes(dir, 'main.js controller')[0];
  const old = find()!;
  process.kill(old, 'SIGTERM');
  return eventually(
    'the caches of a new controller are complete',
    async () => {
      const pid = find();
      if (pid === undefined || pid === old) return undefined;
      const { ok } = await fetch(`http://${await address()}:9090/ready`);
      return ok && round(ageSeconds(pid, ticks), 1);
    },
    { timeoutMs: 300_000, everyMs: 20 },
  );
}
