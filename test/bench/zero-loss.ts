import { App } from '../e2e/support/app.ts';
import { loadRow, withCluster } from './cluster.ts';
import type { Bench, Row } from './row.ts';

const RPS = 2000;
const STRATEGIES = {
  'canary promotion': { canary: { weights: [10, 50], dwell: '2s' } },
  'blue/green flip': { blueGreen: { dwell: '1s', keepBlue: '3s' } },
};

export const bench: Bench = {
  summary: `requests lost at ${RPS}/s through a promotion and a blue/green flip, counted at the load generator`,
  async run({ log }) {
    const rows: Row[] = [];
    await withCluster(async (cluster) => {
      for (const [name, strategy] of Object.entries(STRATEGIES)) {
        log(`${name} at ${RPS} requests/s`);
        const app = await App.create(cluster, name.replace(/\W/g, '-'), {
          strategy,
          rps: RPS,
          replicas: 2,
          analysis: {
            interval: '500ms',
            minRequests: 100,
            noData: 'pass',
            metrics: [{ name: 'success-rate', threshold: { min: '99%' }, over: '10s' }],
          },
        });
        const before = await app.load();
        const started = Date.now();
        await app.deploy('v2');
        await app.promoted('v2', 120_000);
        const seconds = (Date.now() - started) / 1000;
        const after = await app.load();
        const sent = after.sent - before.sent;
        const lost = after.failed - before.failed;
        rows.push({
          name: `${name}: requests lost`,
          value: lost,
          unit: `of ${sent}`,
          bar: '0',
          ok: lost === 0,
        });
        const rate = Math.round(sent / seconds);
        rows.push({
          name: `${name}: requests sent`,
          value: rate,
          unit: '/s',
          bar: `>= ${RPS * 0.95}`,
          ok: rate >= RPS * 0.95,
        });
        await app.remove();
      }
      rows.push(loadRow());
    });
    return rows;
  },
};
