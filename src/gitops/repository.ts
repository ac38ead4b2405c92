import { execFile } from 'node:child_process';
import { existsSync, type FSWatcher, readFileSync, statSync, watch, writeFileSync } from 'node:fs';
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

/**
 * A Git repository read with the git binary: a bare clone of one branch, no working tree. The clone of a directory on this
 * machine borrows its objects, so that a commit there costs no fetch, and looking for one no process at all.
 */
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
    const id = (this.#local && tipOf(gitDirectory(this.#local), branch)) ?? (await this.#ask(url, signal));
    if (!existsSync(join(cache, 'HEAD'))) {
      await this.#git(['init', '--bare', '--quiet', cache], signal);
      if (this.#local) await this.#borrow(this.#local, signal);
    }
    if (this.#local) return id;
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

  async #ask(url: string, signal: AbortSignal): Promise<string> {
    const { branch } = this.#options;
    const line = await this.#git(['ls-remote', url, `refs/heads/${branch}`], signal);
    const id = line.split('\t')[0]?.trim();
    if (id) return id;
    throw new AppError(
      'NotFound',
      `${url} has no branch "${branch}": commit to it, or name another with --branch`,
      { retryable: true },
    );
  }

  async #borrow(directory: string, signal: AbortSignal): Promise<void> {
    const objects = await this.#git(['-C', directory, 'rev-parse', '--git-path', 'objects'], signal);
    const alternates = join(this.#options.cache, 'objects', 'info', 'alternates');
    writeFileSync(alternates, `${resolve(directory, objects.trim())}\n`);
  }

  async describe(id: string, signal: AbortSignal): Promise<Commit> {
    const out = await this.#inCache(['show', '-s', '--format=%s%x00%an', id], signal);
    const [subject = '', author = ''] = out.trimEnd().split('\0');
    return { id, subject, author };
  }

  /** Every manifest of the folder at a commit, sorted by path; folders whose name begins with a dot are not looked into. */
  async manifests(id: string, signal: AbortSignal): Promise<SourceFile[]> {
    const folder = this.#folder();
    const listed = await this.#inCache(
      ['ls-tree', '-r', '-z', id, ...(folder === '' ? [] : ['--', `${folder}/`])],
      signal,
    );
    const entries = listed
      .split('\0')
      .flatMap((line) => {
        const [, type, blob, path] = /^\d+ (\w+) (\w+)\t(.*)$/s.exec(line) ?? [];
        return type === 'blob' && blob && path ? [{ blob, path }] : [];
      })
      .filter(({ path }) => MANIFEST.test(path) && !path.split('/').some((part) => part.startsWith('.')))
      .sort((one, other) => (one.path < other.path ? -1 : 1));
    const texts = await this.#blobs([...new Set(entries.map(({ blob }) => blob))], signal);
    return entries.map(({ path, blob }) => ({ path, text: texts.get(blob)! }));
  }

  /** All of them from one process. */
  async #blobs(ids: string[], signal: AbortSignal): Promise<Map<string, string>> {
    const texts = new Map<string, string>();
    if (ids.length === 0) return texts;
    const args = ['--git-dir', this.#options.cache, 'cat-file', '--batch'];
    const out = await execute('git', args, signal, ids.join('\n'));
    for (let at = 0; at < out.length; ) {
      const end = out.indexOf('\n', at);
      const [id = '', type, size] = out.toString('utf8', at, end).split(' ');
      if (type !== 'blob') throw new AppError('Unavailable', `git cat-file: ${id} is ${type}, not a file`);
      at = end + 1 + Number(size);
      texts.set(id, out.toString('utf8', end + 1, at));
      at += 1;
    }
    return texts;
  }

  /** Writes the whole commit into a directory, for tools that want files. */
  async checkout(id: string, into: string, signal: AbortSignal): Promise<string> {
    await this.#inCache(['--work-tree', into, 'checkout', '--force', '--quiet', id, '--', '.'], signal);
    return join(into, this.#folder());
  }

  /** Calls back soon after the branch may have moved. Only local directories can tell; others are polled. */
  onMove(callback: () => void): () => void {
    if (!this.#local) return () => {};
    const directory = gitDirectory(this.#local);
    const watchers: FSWatcher[] = [];
    for (const folder of [join(directory, 'refs', 'heads'), directory]) {
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

const gitDirectory = (local: string): string =>
  existsSync(join(local, '.git')) ? join(local, '.git') : local;

/** What a branch points to, as Git's files have it; undefined where only git itself can tell. */
function tipOf(directory: string, branch: string): string | undefined {
  const read = (...path: string[]) => {
    try {
      return readFileSync(join(directory, ...path), 'utf8');
    } catch {
      return '';
    }
  };
  const loose = /^[0-9a-f]{40,64}$/.exec(read('refs', 'heads', ...branch.split('/')).trim())?.[0];
  if (loose) return loose;
  const packed = read('packed-refs')
    .split('\n')
    .find((line) => line.endsWith(` refs/heads/${branch}`));
  return packed?.split(' ')[0];
}

/** Runs a program without a shell and answers its output; a failure carries the last line it said. */
export async function run(program: string, args: string[], signal: AbortSignal): Promise<string> {
  return (await execute(program, args, signal)).toString('utf8');
}

function execute(program: string, args: string[], signal: AbortSignal, input?: string): Promise<Buffer> {
  return new Promise((done, fail) => {
    const child = execFile(
      program,
      args,
      {
        signal,
        encoding: 'buffer',
        maxBuffer: 64 * 1024 * 1024,
        timeout: 60_000,
        env: { ...process.env, GIT_TERMINAL_PROMPT: '0', GIT_OPTIONAL_LOCKS: '0', LC_ALL: 'C' },
      },
      (error, stdout, stderr) => {
        if (!error) return done(stdout);
        if (signal.aborted) return fail(new AppError('Aborted', `${program} was stopped`));
        const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
        const lines = stderr.toString('utf8').trim().split('\n');
        // What git found comes first, and what it generally advises last.
        const said =
          lines.find((line) => /^(fatal|error): /.test(line))?.replace(/^\w+: /, '') ?? lines.at(-1) ?? '';
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
    // A program that ended early says why itself.
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });
}
