import { spawnSync } from 'node:child_process';
import type { Bench } from './row.ts';

export const bench: Bench = {
  summary: 'wall time of npm test',
  async run() {
    const started = performance.now();
    const { status } = spawnSync('npm', ['test'], { stdio: ['ignore', 2, 2] });
    const seconds = Math.round((performance.now() - started) / 100) / 10;
    return [
      { name: 'npm test', value: seconds, unit: 's', bar: '< 240', ok: seconds < 240 && status === 0 },
      { name: 'exit code', value: status ?? -1, unit: '', bar: '0', ok: status === 0 },
    ];
  },
};
