import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';

/** A Git repository of manifests, as a team would have it. */
export class Repository {
  readonly dir = mkdtempSync(join(tmpdir(), 'weir-repo-'));

  constructor() {
    this.git('init', '-q', '-b', 'main');
  }

  git(...args: string[]): Buffer {
    const identity = ['-c', 'user.name=dev', '-c', 'user.email=dev@example.com'];
    return execFileSync('git', ['-C', this.dir, ...identity, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 1 << 26,
    });
  }

  /** Writes files (text, or objects as YAML) and commits; answers the commit's id. */
  commit(message: string, files: Record<string, string | object[]>): string {
    for (const [file, content] of Object.entries(files)) {
      const text =
        typeof content === 'string' ? content : content.map((object) => stringify(object)).join('---\n');
      const path = join(this.dir, file);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    }
    this.git('add', '-A');
    this.git('commit', '-qm', message);
    return this.head();
  }

  revert(): string {
    this.git('revert', '--no-edit', 'HEAD');
    return this.head();
  }

  head(): string {
    return this.git('rev-parse', 'HEAD').toString().trim();
  }

  /** The tree as a source controller would serve it. */
  archive(): Buffer {
    return this.git('archive', '--format=tar.gz', 'HEAD');
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}
