import { PrometheusDriver } from 'prometheus-query';
import { kinds } from '../../src/api/kinds.ts';
import { App } from '../e2e/support/app.ts';
import { eventually } from '../e2e/support/cluster.ts';
import { loadRow, withCluster } from './cluster.ts';
import { type Bench, median, type Row } from './row.ts';

const ROUNDS = 5;
const POLL_MS = 10;
const INTERVAL = '100ms';

/** The smallest over-all share of failures that the Rollout's threshold calls a failure. */
const THRESHOLD = 0.99;

export const bench: Bench = {
  summary: 'fault visible in a query -> weight 0 acknowledged by every proxy; requests that failed meanwhile',
  async run({ log }) {
    const toZero: number[] = [];
    const fromFault: number[] = [];
    const failed: number[] = [];
    await withCluster(async (cluster) => {
      const metrics = await cluster.client.get(kinds.Service, 'weir', 'weir-metrics');
      const driver = new PrometheusDriver({
        endpoint: `http://${(metrics.spec as { clusterIP: string }).clusterIP}:9090`,
      });
      for (let round = 1; round <= ROUNDS; round += 1) {
        const app = await App.create(cluster, `rollback-${round}`, {
          strategy: { canary: { steps: [{ weight: 20 }, { weight: 30, dwell: '10m' }], dwell: '1s' } },
          analysis: {
            interval: INTERVAL,
            minRequests: 10,
            metrics: [{ name: 'success-rate', threshold: { min: '99%' }, over: '10s', failureLimit: 1 }],
          },
          rps: 200,
        });
        await app.deploy('v2');
        const rollout = await app.until(
          '30 %',
          ({ status }) => status?.traffic?.canary === 30 && status.analysis?.verdict === 'pass',
        );
        const total = `sum(increase(response_total{direction="outbound",dst_namespace="${app.namespace}",dst_service="web",dst_revision="${rollout.status!.canary!.hash}"`;
        const query = `${total},classification="success"}[10s])) / ${total}}[10s]))`;
        const before = await app.load();

        let visibleAt: number | undefined;
        const acknowledged = eventually(
          'weight 0 acknowledged',
          async () => {
            const { traffic } = (await app.rollout()).status ?? {};
            return (
              traffic?.canary === 0 &&
              traffic.acknowledged !== undefined &&
              traffic.acknowledged.proxies === traffic.acknowledged.of &&
              Date.now()
            );
          },
          { everyMs: POLL_MS, describe: () => app.describe() },
        );
        const faultAt = Date.now();
        for (const pod of await app.podsOf('v2')) {
          await fetch(`http://${(pod.status as { podIP: string }).podIP}:8080/fault?errors=1`, {
            method: 'POST',
          });
        }
        await eventually(
          'the fault shows in the metrics',
          async () => {
            const { result } = await driver.instantQuery(query);
            const value = Number(result[0]?.value?.value);
            if (value < THRESHOLD) visibleAt = Date.now();
            return visibleAt !== undefined;
          },
          { everyMs: POLL_MS },
        );
        const zeroAt = (await acknowledged) as number;
        toZero.push(Math.max(0, zeroAt - visibleAt!));
        fromFault.push(zeroAt - faultAt);
        await app.phase('Failed');
        failed.push((await app.load()).failed - before.failed);
        log(
          `round ${round}: visible -> acknowledged ${toZero.at(-1)} ms, fault -> acknowledged ${fromFault.at(-1)} ms, failed requests ${failed.at(-1)}`,
        );
        await app.remove();
      }
    });
    const worst = Math.max(...toZero);
    const rows: Row[] = [
      {
        name: `fault visible -> weight 0 acknowledged, median of ${ROUNDS}`,
        value: median(toZero),
        unit: 'ms',
        bar: '< 250',
        ok: median(toZero) < 250,
      },
      { name: 'the same, worst round', value: worst, unit: 'ms' },
      { name: 'fault injected -> weight 0 acknowledged, median', value: median(fromFault), unit: 'ms' },
      { name: 'user requests failed, median (200/s, weight 30 %)', value: median(failed), unit: 'requests' },
      { name: 'polling interval of this bench', value: POLL_MS, unit: 'ms' },
      { name: 'analysis interval', value: INTERVAL, unit: '' },
      loadRow(),
    ];
    return rows;
  },
};
