import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Repository } from './repository.ts';

let root: string;
let work: string;
const live = () => new AbortController().signal;
const git = (...args: string[]) =>
  execFileSync('git', ['-C', work, '-c', 'user.name=Ada', '-c', 'user.email=ada@example.com', ...args], {
    encoding: 'utf8',
    stdio: 'pipe',
  }).trim();

function commit(files: Record<string, string>, subject: string): string {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(work, path)), { recursive: true });
    writeFileSync(join(work, path), text);
  }
  git('add', '-A');
  git('commit', '--quiet', '-m', subject);
  return git('rev-parse', 'HEAD');
}

const repository = (url = work, path = '.') =>
  new Repository({ url, branch: 'main', path, cache: join(root, 'cache.git') });

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'weir-repository-'));
  work = join(root, 'work');
  mkdirSync(work);
  git('init', '--quiet', '--initial-branch=main');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe('a repository', () => {
  test('reads the manifests of a commit, not of the working tree', async () => {
    const id = commit(
      { 'b.yaml': 'b', 'a.yml': 'a', 'x/c.json': 'c', '.github/ci.yaml': '', 'readme.md': '' },
      'First',
    );
    writeFileSync(join(work, 'b.yaml'), 'not committed');
    const repo = repository();
    expect(await repo.fetch(live())).toBe(id);
    expect(await repo.describe(id, live())).toEqual({ id, subject: 'First', author: 'Ada' });
    expect(await repo.manifests(id, live())).toEqual([
      { path: 'a.yml', text: 'a' },
      { path: 'b.yaml', text: 'b' },
      { path: 'x/c.json', text: 'c' },
    ]);
  });

  test('a folder of it, through a URL, follows new and rewritten commits', async () => {
    commit({ 'deploy/a.yaml': 'a', 'other/b.yaml': 'b' }, 'First');
    const repo = repository(`file://${work}`, './deploy/');
    const first = await repo.fetch(live());
    expect((await repo.manifests(first, live())).map(({ path }) => path)).toEqual(['deploy/a.yaml']);
    commit({ 'deploy/a.yaml': 'a2' }, 'Second');
    git('commit', '--quiet', '--amend', '-m', 'Rewritten');
    const second = await repo.fetch(live());
    expect(await repo.describe(second, live())).toMatchObject({ subject: 'Rewritten' });
    expect(await repo.manifests(second, live())).toEqual([{ path: 'deploy/a.yaml', text: 'a2' }]);
  });

  test('a branch in packed refs, with a slash in its name, in a bare repository and in a linked worktree', async () => {
    const id = commit({ 'a.yaml': 'ä\n', 'b.yaml': 'ä\n', 'empty.yaml': '' }, 'First');
    git('branch', 'team/x');
    git('pack-refs', '--all');
    git('clone', '--quiet', '--bare', work, join(root, 'bare.git'));
    git('worktree', 'add', '--quiet', '--detach', join(root, 'linked'));
    for (const [each, url] of [work, join(root, 'bare.git'), join(root, 'linked')].entries()) {
      const cache = join(root, `cache-${each}.git`);
      const repo = new Repository({ url, branch: 'team/x', path: '.', cache });
      expect(await repo.fetch(live())).toBe(id);
      expect(await repo.manifests(id, live())).toEqual([
        { path: 'a.yaml', text: 'ä\n' },
        { path: 'b.yaml', text: 'ä\n' },
        { path: 'empty.yaml', text: '' },
      ]);
    }
  });

  test('over a transport, as from another machine', async () => {
    const first = commit({ 'a.yaml': 'a' }, 'First');
    // A directory that is none for the agent, and one for git: what it reads goes through fetch.
    const url = join(root, 'remote');
    const repo = repository(url);
    symlinkSync(work, url);
    expect(await repo.fetch(live())).toBe(first);
    const second = commit({ 'a.yaml': 'b' }, 'Second');
    expect(await repo.fetch(live())).toBe(second);
    expect(await repo.manifests(second, live())).toEqual([{ path: 'a.yaml', text: 'b' }]);
  });

  test('a missing branch and a missing repository say what to do', async () => {
    await expect(repository().fetch(live())).rejects.toThrow(/has no branch "main".*--branch/);
    await expect(repository(join(root, 'nowhere')).fetch(live())).rejects.toThrow(
      /^git ls-remote: '.*nowhere' does not appear to be a git repository$/,
    );
  });

  test('a commit to a local directory is noticed without a poll', async () => {
    commit({ 'a.yaml': 'a' }, 'First');
    let stop = () => {};
    const moved = new Promise<void>((resolve) => {
      stop = repository().onMove(resolve);
    });
    commit({ 'a.yaml': 'b' }, 'Second');
    await moved;
    stop();
  });

  test('checks a commit out for tools that want files', async () => {
    const id = commit({ 'deploy/a.yaml': 'a' }, 'First');
    const repo = repository(work, 'deploy');
    await repo.fetch(live());
    const into = join(root, 'tree');
    mkdirSync(into);
    expect(await repo.checkout(id, into, live())).toBe(join(into, 'deploy'));
  });
});
