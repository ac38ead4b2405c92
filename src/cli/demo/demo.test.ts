import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import type { Phase, Rollout } from '../../api/rollout.ts';
import { findEntries } from '../../local/node/entry.ts';
import { listenersOf, processesOf, stillOpen } from './leftovers.ts';
import { ShopRepository } from './shop.ts';
import { outcomeOf, ready, tell } from './story.ts';
import { draw, PlainView } from './view.ts';

const revision = (tag: string) => ({
  digest: tag,
  replicaSet: `web-${tag}`,
  hash: tag,
  images: [`weir-sample:${tag}`],
});
function rollout(phase: Phase, stable: string, canary?: string, weight = 0): Rollout {
  return {
    apiVersion: 'weir.dev/v1alpha1',
    kind: 'Rollout',
    metadata: { name: 'web', namespace: 'shop' },
    spec: {},
    status: {
      phase,
      message: 'why',
      conditions: [{ type: 'Gated', status: 'True', reason: 'Held', message: '', lastTransitionTime: '' }],
      stable: revision(stable),
      ...(canary ? { canary: revision(canary) } : {}),
      traffic: { stable: 100 - weight, canary: weight },
      analysis: {
        verdict: 'pass',
        metrics: [
          { name: 'success-rate', verdict: 'pass', canary: 0.9975 },
          { name: 'latency', verdict: 'pass', canary: 0.0123 },
        ],
      },
      history: [],
    },
  };
}

describe('the story', () => {
  test('a version is promoted when it is stable at rest, rolled back when the run failed without it', () => {
    expect(outcomeOf(rollout('Healthy', 'v1'), 'v2')).toBeUndefined();
    expect(outcomeOf(rollout('Progressing', 'v1', 'v2', 20), 'v2')).toBeUndefined();
    expect(outcomeOf(rollout('Healthy', 'v2'), 'v2')).toBe('promoted');
    expect(outcomeOf(rollout('Failed', 'v1', 'v2'), 'v2')).toBe('rolled back');
    // The failure of the chapter before is not this one's.
    expect(outcomeOf(rollout('Failed', 'v1', 'v2'), 'v3')).toBeUndefined();
    expect(outcomeOf(undefined, 'v2')).toBeUndefined();
  });

  test('begins when all gates hold', () => {
    const three = [1, 2, 3].map(() => rollout('Healthy', 'v1'));
    expect(ready(three)).toBe(true);
    expect(ready(three.slice(1))).toBe(false);
    three[0]!.status!.conditions[0]!.status = 'False';
    expect(ready(three)).toBe(false);
  });

  test('an outcome that was not expected says so', () => {
    const chapter = {
      rollout: 'web',
      version: 'v3',
      errorRate: 0,
      expected: 'rolled back' as const,
      subject: '',
      telling: '',
    };
    const outcome = {
      name: '',
      expected: 'rolled back' as const,
      seconds: 9,
      failedRequests: 3,
      reported: 3,
    };
    expect(tell({ ...outcome, actual: 'rolled back' }, chapter)).toBe(
      'web v3 was rolled back after 9 s; 3 user requests failed',
    );
    expect(tell({ ...outcome, actual: 'promoted' }, chapter)).toContain('expected: rolled back');
  });
});

describe('the view', () => {
  const scene = {
    rollouts: [rollout('Progressing', 'v1', 'v2', 25)],
    load: { sent: 9, ok: 8, failed: 1 },
    rps: 49.6,
    now: 'Now',
  };

  test('shows weight as a bar, versions, what is measured and why', () => {
    const text = draw(scene, {}).join('\n');
    expect(text).toContain('██████░░░░░░░░░░░░░░░░░░  25%  Progressing  stable v1, canary v2');
    expect(text).toContain('success 99.75%, p99 12 ms - why');
    expect(text).toContain('50 requests/s, 8 answered, 1 failed');
  });

  test('without a terminal: one line for each change', () => {
    const lines: string[] = [];
    const view = new PlainView((line) => lines.push(line));
    view.show(scene);
    view.show(scene);
    view.show({ ...scene, rollouts: [rollout('Healthy', 'v2')] });
    expect(lines).toEqual(['web: Progressing, canary at 25 %: why', 'web: Healthy, canary at 0 %: why']);
  });
});

test('a machine without git is told so', () => {
  const directory = mkdtempSync(join(tmpdir(), 'weir-shop-'));
  const before = process.env.PATH;
  process.env.PATH = directory;
  try {
    expect(() => new ShopRepository(directory, directory)).toThrow(/^git is not on the PATH: install it$/);
  } finally {
    process.env.PATH = before;
    rmSync(directory, { recursive: true });
  }
});

test('the repository of the shop: each release is one commit that changes image and error rate', () => {
  const directory = mkdtempSync(join(tmpdir(), 'weir-shop-'));
  try {
    const shop = new ShopRepository(directory, join(findEntries().root, 'examples/shop'));
    shop.begin();
    shop.openShop();
    shop.release('web', 'v2', 0.05, 'web v2');
    const git = (...args: string[]) =>
      execFileSync('git', ['-C', directory, ...args], { encoding: 'utf8' }).trim();
    expect(git('log', '--format=%s').split('\n')).toHaveLength(3);
    expect(git('show', '--format=', '--numstat', 'HEAD')).toBe('2\t2\tweb.yaml');
    expect(readFileSync(join(directory, 'web.yaml'), 'utf8')).toMatch(
      /weir-sample:v2[\s\S]*name: ERROR_RATE, value: "0.05"/,
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test('sees processes of the demo and ports they leave open', async () => {
  const marker = `/weir-demo-test-${process.pid}`;
  const code = "require('net').createServer().listen(0,'127.0.0.1',()=>console.log('up'))";
  const child = spawn(process.execPath, ['-e', code, marker], { stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  await new Promise((resolve) => child.stdout.once('data', resolve));
  expect(processesOf(marker)).toEqual([child.pid]);
  const ports = listenersOf([child.pid!]);
  expect(ports.size).toBe(1);
  expect(stillOpen(ports)).toHaveLength(1);
  child.kill('SIGKILL');
  await ended;
  expect(processesOf(marker)).toEqual([]);
  expect(stillOpen(ports)).toEqual([]);
});
