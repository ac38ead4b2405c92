import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { FakeApi } from '../mesh/fake-api.ts';

const entry = join(import.meta.dirname, '../main.ts');
const folder = mkdtempSync(join(tmpdir(), 'weir-process-'));
afterAll(() => rmSync(folder, { recursive: true }));

function weir(...args: string[]) {
  return spawn(process.execPath, ['--disable-warning=ExperimentalWarning', entry, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function ended(...args: string[]) {
  const child = weir(...args);
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  return { out, err, code };
}

test('who reads no more ends it without a word, as head does', async () => {
  const child = weir('install', '--admission', 'webhooks');
  // Closed before a byte could be written.
  child.stdout.destroy();
  const [err, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  expect([err, code]).toEqual(['', 141]);
});

describe('without -n the namespace is that of the context, as with kubectl', () => {
  let api: FakeApi;
  let kubeconfig: string;
  beforeAll(async () => {
    api = await new FakeApi().start();
    const config = JSON.parse(readFileSync(api.kubeconfig, 'utf8'));
    config.contexts[0].context.namespace = 'shop';
    kubeconfig = join(folder, 'config');
    writeFileSync(kubeconfig, JSON.stringify(config));
  });
  afterAll(() => api.stop());
  afterEach(() => api.delete('/apis/weir.dev/v1alpha1/rollouts', 'shop/web'));

  test.each([
    [
      ['rollouts', 'list'],
      'No Rollouts in namespace shop; look in all with -A, or start from examples/rollouts/.\n',
    ],
    [['rollouts', 'list', '-n', 'other'], /^No Rollouts in namespace other;/],
    [['rollouts', 'get', 'web'], /there is no Rollout web in namespace shop/],
    [['rollouts', 'pause', 'web'], /there is no Rollout web in namespace shop/],
    [['tap', 'deploy/web'], /no pod of deploy web in namespace shop/],
  ])('%j', async (args, told) => {
    const { out, err } = await ended(...args, '--kubeconfig', kubeconfig);
    expect(out + err).toMatch(told);
  });

  test('resume where nobody has paused is refused, with what may have been meant', async () => {
    api.set('/apis/weir.dev/v1alpha1/rollouts', {
      metadata: { name: 'web', namespace: 'shop' },
      spec: {},
      status: { phase: 'Progressing', conditions: [], history: [] },
    });
    const { out, err, code } = await ended('rollouts', 'resume', 'web', '--kubeconfig', kubeconfig);
    expect([out, code]).toEqual(['', 1]);
    expect(err).toMatch(/^weir: shop\/web is Progressing: nobody has paused it; .*weir rollouts approve`\n$/);
  });
});
