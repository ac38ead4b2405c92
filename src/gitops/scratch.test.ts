import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { scratch } from './scratch.ts';

let parent: string;

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'weir-scratch-'));
});
afterEach(() => rmSync(parent, { recursive: true, force: true }));

test('what a killed process left is removed, what a running one has is not', async () => {
  const dead = spawnSync(process.execPath, ['-e', '']).pid;
  const names = [`weir-gitops-${dead}-a1b2c3`, `weir-gitops-${process.pid}-d4e5f6`, `others-${dead}-x`];
  for (const name of names) mkdirSync(join(parent, name, 'repository.git'), { recursive: true });
  const own = basename(await scratch(parent));
  expect(own).toMatch(new RegExp(`^weir-gitops-${process.pid}-`));
  expect(readdirSync(parent).sort()).toEqual([names[1]!, names[2]!, own].sort());
});
