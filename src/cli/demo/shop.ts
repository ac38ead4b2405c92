import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AppError } from '../../lib/errors.ts';

const COMMITTER = [
  ['user.name', 'Demo'],
  ['user.email', 'demo@example.com'],
  ['commit.gpgsign', 'false'],
].flatMap(([key, value]) => ['-c', `${key}=${value}`]);

/** The Git repository of the example shop: what a person would change by hand, as functions. */
export class ShopRepository {
  readonly directory: string;
  readonly #examples: string;

  constructor(directory: string, examples: string) {
    this.directory = directory;
    this.#examples = examples;
    mkdirSync(directory, { recursive: true });
    this.#git('init', '--quiet', '--initial-branch=main');
  }

  /** The namespace alone: the agent finds a branch while the control plane is still coming up. */
  begin(): void {
    cpSync(join(this.#examples, '00-namespace.yaml'), join(this.directory, '00-namespace.yaml'));
    this.#commit('A namespace for the shop');
  }

  openShop(): void {
    cpSync(this.#examples, this.directory, { recursive: true });
    this.#commit('The shop: web, orders, payments, and their users');
  }

  release(name: string, version: string, errorRate: number, subject: string): void {
    const file = join(this.directory, `${name}.yaml`);
    const before = readFileSync(file, 'utf8');
    const after = before
      .replace(/image: weir-sample:\S+/, `image: weir-sample:${version}`)
      .replace(/(name: ERROR_RATE, value: )"[^"]*"/, `$1"${errorRate}"`);
    writeFileSync(file, after);
    this.#commit(subject);
  }

  #commit(subject: string): void {
    this.#git('add', '--all');
    this.#git(...COMMITTER, 'commit', '--quiet', '--no-verify', '-m', subject);
  }

  #git(...args: string[]): void {
    try {
      execFileSync('git', ['-C', this.directory, ...args], {
        stdio: 'pipe',
        // The person's own configuration (hooks, signing, templates) has no say in a demo.
        env: { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' },
      });
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown;
      throw new AppError('NotFound', 'git is not on the PATH: install it', { cause: thrown });
    }
  }
}
