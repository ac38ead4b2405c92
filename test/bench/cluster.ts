import { mkdtempSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunningCluster, startWithWeir } from '../e2e/support/start.ts';
import type { Row } from './row.ts';

/** Runs `body` on a cluster of its own and removes every trace of it. */
export async function withCluster<T>(body: (cluster: RunningCluster) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), 'weir-bench-'));
  const cluster = await startWithWeir(dir);
  try {
    return await body(cluster);
  } finally {
    await cluster.stop();
  }
}

/** The machine's load beside the figures: these are noisy neighbours. */
export const loadRow = (): Row => ({
  name: 'machine load (1 min)',
  value: Math.round(loadavg()[0]! * 100) / 100,
  unit: '',
});
