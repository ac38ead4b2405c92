import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const TICKS = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** The fields of proc_pid_stat(5) from the third on: what comes before may contain spaces. */
function statOf(pid: number): number[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
}

/** CPU seconds that a process has used, user and system. */
export function cpuSeconds(pid: number): number {
  const fields = statOf(pid);
  return (fields[11]! + fields[12]!) / TICKS;
}

/** Seconds since a process was started. */
export function ageSeconds(pid: number): number {
  const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
  return uptime - statOf(pid)[19]! / TICKS;
}

/** Resident set size in MiB. */
export function rssMiB(pid: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1] ?? 0) / 1024;
}

/** Requests that Weir's controller has sent, by `METHOD resource`, from its own /metrics. */
export async function requestsOf(url: string): Promise<Map<string, number>> {
  const text = await (await fetch(url)).text();
  const found = new Map<string, number>();
  for (const [, labels = '', value] of text.matchAll(/^weir_kubernetes_requests_total\{([^}]*)\} (\S+)$/gm)) {
    const label = (name: string) => new RegExp(`${name}="([^"]*)"`).exec(labels)?.[1] ?? '';
    found.set(`${label('method')} ${label('resource')}`, Number(value));
  }
  return found;
}

/** What was sent between two readings, leases and watches aside, largest first. */
export function difference(before: Map<string, number>, after: Map<string, number>): [string, number][] {
  return [...after]
    .map(([key, value]): [string, number] => [key, value - (before.get(key) ?? 0)])
    .filter(([key, value]) => value > 0 && !key.startsWith('WATCH ') && !key.endsWith(' leases'))
    .sort(([, a], [, b]) => b - a);
}

export const total = (counts: [string, number][]): number =>
  counts.reduce((sum, [, count]) => sum + count, 0);

/** Cumulative buckets of a histogram without labels of its own, as `[upper bound, count]` in ascending order. */
export async function bucketsOf(url: string, name: string): Promise<[number, number][]> {
  const text = await (await fetch(url)).text();
  return [...text.matchAll(new RegExp(`^${name}_bucket\\{le="([^"]+)"\\} (\\d+)$`, 'gm'))].map(
    ([, bound, count]): [number, number] => [
      bound === '+Inf' ? Number.POSITIVE_INFINITY : Number(bound),
      Number(count),
    ],
  );
}

/** The smallest bucket bound that holds `share` of all. */
export function quantile(buckets: [number, number][], share: number): number {
  const all = buckets.at(-1)?.[1] ?? 0;
  return buckets.find(([, count]) => count >= share * all)?.[0] ?? Number.NaN;
}
