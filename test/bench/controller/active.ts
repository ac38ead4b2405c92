import { kinds } from '../../../src/api/kinds.ts';
import { eventually } from '../../e2e/support/cluster.ts';
import type { KubernetesCluster } from '../../kubernetes/support/cluster.ts';
import type { Row } from '../row.ts';
import type { Fleet } from './fleet.ts';
import { difference, quantile, total } from './process.ts';
import type { Subject } from './subject.ts';

const INTERVAL_SECONDS = 5;
const MEASURED_SECONDS = 60;
const LATENESS = 'weir_analysis_lateness_seconds';

/** All of them in a step at once, each judged every five seconds, for a minute. */
export async function active(
  { client }: KubernetesCluster,
  fleet: Fleet,
  subject: Subject,
  log: (line: string) => void,
): Promise<Row[]> {
  const { size } = fleet;
  // A step that outlasts the measurement.
  const body = {
    spec: {
      analysis: { interval: `${INTERVAL_SECONDS}s` },
      strategy: { canary: { weights: [10], dwell: '1h' } },
    },
  };
  await fleet.each(0, size, (index) =>
    client.patch(kinds.Rollout, fleet.namespaceOf(index), fleet.name(index), { type: 'merge', body }),
  );
  const began = performance.now();
  await fleet.each(0, size, (index) => fleet.apply(index, 'v4'));
  await eventually(
    `${size} Rollouts are in their step`,
    async () => (await fleet.rollouts()).every(({ status }) => status?.traffic?.canary === 10),
    { timeoutMs: 900_000, everyMs: 200 },
  );
  const reached = (performance.now() - began) / 1000;
  log(`${size} in their step after ${reached.toFixed(1)} s`);
  const replacedBefore = await subject.replacedRow('the change of all at once');
  // The lazy writes of the way there.
  await new Promise((resolve) => setTimeout(resolve, 15_000));

  const requests = await subject.requests();
  const lateness = await subject.buckets(LATENESS);
  const cpu = await subject.cpuSeconds();
  await new Promise((resolve) => setTimeout(resolve, MEASURED_SECONDS * 1000));
  const spent = (await subject.cpuSeconds()) - cpu;
  const sent = total(difference(requests, await subject.requests()));
  const late = (await subject.buckets(LATENESS)).map(([bound, count], index): [number, number] => [
    bound,
    count - (lateness[index]?.[1] ?? 0),
  ]);
  const looks = late.at(-1)?.[1] ?? 0;
  const minutes = MEASURED_SECONDS / 60;
  return [
    { name: `${size} changed at once -> all in their step`, value: Number(reached.toFixed(1)), unit: 's' },
    { name: `${size} active: looks a second`, value: Math.round(looks / MEASURED_SECONDS), unit: '/s' },
    {
      name: 'the same, CPU of one core',
      value: Number(((spent / MEASURED_SECONDS) * 100).toFixed(1)),
      unit: '%',
    },
    {
      name: 'the same, API requests a Rollout and minute',
      value: Number((sent / size / minutes).toFixed(1)),
      unit: 'requests',
    },
    { name: 'the same, lateness of a look, p99 at most', value: quantile(late, 0.99) * 1000, unit: 'ms' },
    { name: 'the same, RSS', value: Math.round(await subject.rssMiB()), unit: 'MiB' },
    ...replacedBefore,
    ...(await subject.replacedRow('that minute')),
  ];
}
