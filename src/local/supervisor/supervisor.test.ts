import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { silentLogger } from '../../lib/log.ts';
import { isAlive } from '../node/index.ts';
import { SupervisedChild } from './child.ts';
import { defaultDir, identityOf, killLeftBehind, leftBehind, writeState } from './state.ts';
import { takeSubnet } from './subnet.ts';

async function until(what: string, probe: () => boolean, timeoutMs = 15_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!probe()) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'weir-supervisor-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const FOREVER = 'setInterval(() => {}, 1000)';
const childOf = (script: string, pids: number[] = []) =>
  new SupervisedChild({
    name: 'c',
    argv: ['-e', script],
    env: process.env,
    logFile: join(dir, 'c.log'),
    log: silentLogger,
    onStart: (pid) => pids.push(pid),
  });

describe('a supervised child', () => {
  test('is started again when it is killed, and not when it is stopped', async () => {
    const pids: number[] = [];
    const child = childOf(FOREVER, pids);
    child.start();
    await until('started', () => pids.length === 1);
    child.kill();
    await until('started again', () => pids.length === 2 && child.pid === pids[1]);
    await child.stop(2000);
    expect(child.pid).toBeUndefined();
    expect(pids).toHaveLength(2);
  });

  test('counts ends soon after the start', async () => {
    const child = childOf('process.exit(1)');
    child.start();
    await until('three', () => child.earlyExits >= 3);
    await child.stop(100);
  });

  test('ends when its supervisor was killed', async () => {
    // A supervisor in a process of its own, whose child does what every component does.
    const follow = join(import.meta.dirname, 'follow.ts');
    const script = join(dir, 'component.ts');
    writeFileSync(
      script,
      `import { followSupervisor } from ${JSON.stringify(follow)};\nfollowSupervisor();\nsetInterval(() => {}, 1000);\nconsole.log('up');\n`,
    );
    const supervisor = `
      const { SupervisedChild } = await import(${JSON.stringify(join(import.meta.dirname, 'child.ts'))});
      const log = { warn() {} };
      const options = { name: 'c', argv: [${JSON.stringify(script)}], env: process.env, logFile: ${JSON.stringify(join(dir, 'c.log'))}, log };
      new SupervisedChild({ ...options, onStart: (pid) => console.log(pid) }).start();`;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', supervisor], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const pid = Number(await new Promise((resolve) => parent.stdout.once('data', resolve)));
    await until('up', () => readFileSync(join(dir, 'c.log'), 'utf8').includes('up'));
    const identity = identityOf(pid);
    parent.kill('SIGKILL');
    await until('gone', () => !isAlive(identity));
  });
});

describe('state', () => {
  test('two clusters never share their addresses', async () => {
    const first = await takeSubnet(undefined, () => 0.5);
    const second = await takeSubnet(undefined, () => 0.5);
    expect(second.prefix).not.toBe(first.prefix);
    await expect(takeSubnet(first.prefix)).rejects.toThrow(/weir local down/);
    await first.release();
    const again = await takeSubnet(first.prefix);
    expect(again.prefix).toBe(first.prefix);
    await Promise.all([again.release(), second.release()]);
  });

  test('what an earlier cluster left running is found and killed', async () => {
    const child = spawn(process.execPath, ['-e', FOREVER], { detached: true, stdio: 'ignore' });
    const identity = identityOf(child.pid!);
    writeState(dir, { prefix: '127.9', server: '', kubeconfig: '', components: { c: identity } });
    expect(leftBehind(dir)).toEqual([identity]);
    await killLeftBehind(dir);
    expect(leftBehind(dir)).toEqual([]);
  });

  test('each name has a directory', () => {
    expect(defaultDir('x', { WEIR_HOME: '/h' })).toBe('/h/x');
  });
});
