import { spawn } from 'node:child_process';
import type { Bench, Row } from './row.ts';

interface DemoReport {
  firstRequestSeconds: number;
  totalSeconds: number;
  leftoverProcesses: number;
  leftoverPorts: number;
  outcomes: { name: string; expected: string; actual: string }[];
}

/** `weir demo --exit --json` as a person would run it, timed by itself. */
function runDemo(log: (line: string) => void): Promise<DemoReport> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['bin/weir.js', 'demo', '--exit', '--json'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    child.stdout.on('data', (chunk) => {
      out += chunk;
    });
    child.stderr.on('data', (chunk) => log(String(chunk).trimEnd()));
    child.on('exit', (code) => {
      if (code !== 0) return reject(new Error(`weir demo ended with ${code}: ${out}`));
      resolve(JSON.parse(out.trim().split('\n').at(-1)!) as DemoReport);
    });
  });
}

export const bench: Bench = {
  summary: 'the demo story: time to the first meshed request, whole story, what it leaves behind',
  async run({ log }) {
    const report = await runDemo(log);
    const row = (name: string, value: number, unit: string, bar: string, ok: boolean): Row => ({
      name,
      value,
      unit,
      bar,
      ok,
    });
    return [
      row(
        'first request through the mesh',
        report.firstRequestSeconds,
        's',
        '< 5',
        report.firstRequestSeconds < 5,
      ),
      row('whole story', report.totalSeconds, 's', '< 90', report.totalSeconds < 90),
      row('leftover processes', report.leftoverProcesses, '', '0', report.leftoverProcesses === 0),
      row('leftover ports', report.leftoverPorts, '', '0', report.leftoverPorts === 0),
    ];
  },
};
