import { execFile } from 'node:child_process';
import { existsSync, type FSWatcher, statSync, watch } from 'node:fs';
import { join, resolve } from 'node:path';
import { AppError } from '../lib/errors.ts';

export interface Commit {
  id: string;
  subject: string;
  author: string;
}

export interface SourceFile {
  path: string;
  text: string;
}

export interface RepositoryOptions {
  /** A directory, or any URL git can fetch from. */
  url: string;
  branch: string;
  /** Folder of the repository that holds the manifests. */
  path: string;
  /** Where the bare clone lives; belongs to the repository alone. */
  cache: string;
}

const MANIFEST = /\.(ya?ml|json)$/;

/** A Git repository read with the git binary: a bare clone of one branch, no working tree. */
export class Repository {
  readonly #options: RepositoryOptions;
  readonly #local: string | undefined;

  constructor(options: RepositoryOptions) {
    this.#options = options;
    const directory = resolve(options.url.replace(/^file:\/\//, ''));
    this.#local = existsSync(directory) && statSync(directory).isDirectory() ? directory : undefined;
  }

  /** The commit at the tip of the branch, fetched so that it can be read. */
  async fetch(signal: AbortSignal): Promise<string> {
    const { branch, cache } = this.#options;
    const url = this.#local ?? this.#options.url;
    const line = await this.#git(['ls-remote', url, `refs/heads/${branch}`], signal);
    const id = line.split('\t')[0]?.trim();
    if (!id) {
      throw new AppError(
        'NotFound',
        `${url} has no branch "${branch}": commit to it, or name another with --branch`,
        {
          retryable: true,
        },
      );
    }
    if (!existsSync(join(cache, 'HEAD'))) await this.#git(['init', '--bare', '--quiet', cache], signal);
    const known = await this.#inCache(['cat-file', '-e', `${id}^{commit}`], signal).then(
      () => true,
      () => false,
    );
    if (!known) {
      await this.#inCache(
        ['fetch', '--quiet', '--no-tags', '--depth=1', '--force', url, `refs/heads/${branch}`],
        signal,
      );
    }
    return id;
  }

  async describe(id: string, signal: AbortSignal): Promise<Commit> {
    const out = await this.#inCache(['show', '-s', '--format=%s%x00%an', id], signal);
    const [subject = '', author = ''] = out.trimEnd().split('\0');
    return { id, subject, author };
  }

  /** Every manifest of the folder at a commit, sorted by path; folders whose name begins with a dot are not looked into. */
  async manifests(id: string, signal: AbortSignal): Promise<SourceFile[]> {
    const folder = this.#folder();
    const names = await this.#inCache(
      ['ls-tree', '-r', '-z', '--name-only', id, ...(folder === '' ? [] : ['--', `${folder}/`])],
      signal,
    );
    const paths = names
      .split('\0')
      .filter((path) => MANIFEST.test(path) && !path.split('/').some((part) => part.startsWith('.')))
      .sort();
    const files: SourceFile[] = [];
    for (const path of paths) {
      files.push({ path, text: await this.#inCache(['cat-file', 'blob', `${id}:${path}`], signal) });
    }
    return files;
  }

  /** Writes the whole commit into a directory, for tools that want files. */
  async checkout(id: string, into: string, signal: AbortSignal): Promise<string> {
    await this.#inCache(['--work-tree', into, 'checkout', '--force', '--quiet', id, '--', '.'], signal);
    return join(into, this.#folder());
  }

  /** Calls back soon after the branch may have moved. Only local directories can tell; others are polled. */
  onMove(callback: () => void): () => void {
    if (!this.#local) return () => {};
    const gitDirectory = existsSync(join(this.#local, '.git')) ? join(this.#local, '.git') : this.#local;
    const watchers: FSWatcher[] = [];
    for (const folder of [join(gitDirectory, 'refs', 'heads'), gitDirectory]) {
      if (!existsSync(folder)) continue;
      try {
        const watcher = watch(folder, { persistent: false }, (_event, name) => {
          if (!name?.endsWith('.lock')) callback();
        });
        // A folder that vanished or a limit of the system: the poll still sees every move.
        watcher.on('error', () => watcher.close());
        watchers.push(watcher);
      } catch {
        // The same: polled.
      }
    }
    return () => {
      for (const watcher of watchers) watcher.close();
    };
  }

  #folder(): string {
    return this.#options.path.replace(/^\.?\/+|\/+$/g, '').replace(/^\.$/, '');
  }

  #inCache(args: string[], signal: AbortSignal): Promise<string> {
    return this.#git(['--git-dir', this.#options.cache, ...args], signal);
  }

  #git(args: string[], signal: AbortSignal): Promise<string> {
    return run('git', args, signal);
  }
}

/** Runs a program without a shell and answers its output; a failure carries the last line it said. */
export function run(program: string, args: string[], signal: AbortSignal): Promise<string> {
  return new Promise((done, fail) => {
    execFile(
      program,
      args,
      {
        signal,
        maxBuffer: 64 * 1024 * 1024,
        timeout: 60_000,
        env: { ...process.env, GIT_TERMINAL_PROMPT: '0', GIT_OPTIONAL_LOCKS: '0', LC_ALL: 'C' },
      },
      (error, stdout, stderr) => {
        if (!error) return done(stdout);
        if (signal.aborted) return fail(new AppError('Aborted', `${program} was stopped`));
        const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
        const said = stderr.trim().split('\n').at(-1) ?? '';
        fail(
          new AppError(
            'Unavailable',
            missing
              ? `${program} is not on the PATH: install it`
              : `${program} ${args.find((arg) => !arg.startsWith('-') && !arg.includes('/')) ?? ''}: ${said || error.message}`,
            { cause: error },
          ),
        );
      },
    );
  });
}
