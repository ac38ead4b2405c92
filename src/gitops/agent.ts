import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { KubeObject } from '../api/meta.ts';
import type { KubeClient } from '../kube/types.ts';
import { Backoff } from '../lib/backoff.ts';
import { systemClock } from '../lib/clock.ts';
import { toAppError } from '../lib/errors.ts';
import { type Logger, silentLogger } from '../lib/log.ts';
import { Discovery } from './discovery.ts';
import { healthOf } from './health.ts';
import { readInventory, writeInventory } from './inventory.ts';
import { describe, type Problem, type Rendered, renderFiles } from './render.ts';
import { type Commit, Repository, run } from './repository.ts';
import { scratch } from './scratch.ts';
import { applyAll, prune, type SyncOptions } from './sync.ts';

/** What happened, for a status line, an Event, a test. */
export type AgentEvent =
  | { type: 'applied'; commit: Commit; objects: number; pruned: number; problems: Problem[] }
  | { type: 'healthy'; commit: Commit }
  | { type: 'unhealthy'; commit: Commit; message: string }
  | { type: 'drift'; commit: Commit; corrected: number }
  | { type: 'source-error'; message: string };

export interface AgentOptions {
  client: KubeClient;
  repo: string;
  branch: string;
  path: string;
  /** Name of this agent: two agents in one cluster keep separate inventories. */
  name: string;
  /** Where the inventory lives, and where objects go that name no namespace. */
  namespace: string;
  intervalMs: number;
  driftMs: number;
  healthTimeoutMs: number;
  /** Holds the inventory; given to Events as the object they are about. */
  onEvent?: (event: AgentEvent, inventory: KubeObject | undefined) => void;
  log?: Logger;
}

/** Applies one branch of one repository on every commit, and again whatever drifted from it. */
export async function runAgent(options: AgentOptions, signal: AbortSignal): Promise<void> {
  const cache = await scratch(tmpdir());
  try {
    await new Agent(options, cache, signal).run();
  } finally {
    await rm(cache, { recursive: true, force: true });
  }
}

class Agent {
  readonly #options: AgentOptions;
  readonly #signal: AbortSignal;
  readonly #repository: Repository;
  readonly #cache: string;
  readonly #sync: Omit<SyncOptions, 'signal'>;
  readonly #log: Logger;
  #wake: () => void = () => {};
  #moved = false;
  #applied: { commit: Commit; objects: Rendered[]; retry: boolean; at: number } | undefined;
  #inventory: KubeObject | undefined;
  #watching: AbortController | undefined;
  #lastProblems = '';
  #lastSourceError = '';

  constructor(options: AgentOptions, cache: string, signal: AbortSignal) {
    const { client, repo, branch, path, namespace, log = silentLogger } = options;
    this.#options = options;
    this.#signal = signal;
    this.#cache = cache;
    this.#repository = new Repository({ url: repo, branch, path, cache: join(cache, 'repository.git') });
    this.#sync = { client, discovery: new Discovery(client), namespace };
    this.#log = log;
  }

  async run(): Promise<void> {
    const backoff = new Backoff({ initial: 250, max: 30_000 });
    const stopWatching = this.#repository.onMove(() => {
      this.#moved = true;
      this.#wake();
    });
    try {
      while (!this.#signal.aborted) {
        let pause = this.#options.intervalMs;
        try {
          await this.#tick();
          if (this.#applied?.retry) pause = Math.min(backoff.next(), Math.max(pause, 5000));
          else backoff.reset();
          this.#lastSourceError = '';
        } catch (thrown) {
          if (this.#signal.aborted) break;
          const { message } = toAppError(thrown);
          this.#log.warn({ error: message }, 'cannot follow the repository');
          if (message !== this.#lastSourceError) this.#emit({ type: 'source-error', message });
          this.#lastSourceError = message;
          pause = backoff.next();
        }
        await this.#sleep(pause);
      }
    } finally {
      stopWatching();
      this.#watching?.abort();
    }
  }

  async #tick(): Promise<void> {
    this.#moved = false;
    const id = await this.#repository.fetch(this.#signal);
    const before = this.#applied;
    if (before?.commit.id !== id || before.retry) {
      await this.#apply(id);
    } else if (Date.now() - before.at >= this.#options.driftMs) {
      const { written, problems } = await applyAll(before.objects, {
        ...this.#sync,
        signal: this.#signal,
        onlyDrift: true,
      });
      before.at = Date.now();
      for (const problem of problems) this.#log.warn(problem, 'drift cannot be corrected');
      if (written > 0) this.#emit({ type: 'drift', commit: before.commit, corrected: written });
    }
  }

  async #apply(id: string): Promise<void> {
    const { client, name, namespace } = this.#options;
    const signal = this.#signal;
    const [commit, { objects, problems: unreadable }, before] = await Promise.all([
      this.#repository.describe(id, signal),
      this.#render(id),
      readInventory(client, namespace, name, signal),
    ]);
    const sync = { ...this.#sync, signal };
    const { entries, problems: refused } = await applyAll(objects, sync);
    if (signal.aborted) return;
    // A file that cannot be read may hold anything: until it can, nothing is removed.
    const removal =
      unreadable.length > 0
        ? { pruned: [], kept: before.entries.filter((entry) => !sameIn(entries, entry)), problems: [] }
        : await prune(before.entries, entries, sync);
    this.#inventory = await writeInventory(
      client,
      namespace,
      name,
      { commit: id, entries: [...entries, ...removal.kept] },
      signal,
    );
    const problems = [...unreadable, ...refused, ...removal.problems];
    // What the API server refused for good stays refused until the next commit; the rest is tried again.
    const retry = refused.some(({ retryable }) => retryable) || removal.problems.length > 0;
    const first = this.#applied?.commit.id !== id;
    this.#applied = { commit, objects, retry, at: Date.now() };
    const said = JSON.stringify(problems.map(({ source, message }) => [source, message]));
    if (first || said !== this.#lastProblems) {
      this.#lastProblems = said;
      this.#emit({
        type: 'applied',
        commit,
        objects: objects.length,
        pruned: removal.pruned.length,
        problems,
      });
    }
    if (first || !retry) this.#watchHealth(commit, objects);
  }

  async #render(id: string): Promise<{ objects: Rendered[]; problems: Problem[] }> {
    const files = await this.#repository.manifests(id, this.#signal);
    const folder = this.#options.path.replace(/^\.?\/*|\/+$/g, '').replace(/^\.$/, '');
    const kustomization = files.find(({ path }) =>
      ['kustomization.yaml', 'kustomization.yml'].some(
        (file) => path === (folder ? `${folder}/${file}` : file),
      ),
    );
    if (!kustomization) return renderFiles(files);
    const tree = await mkdtemp(join(this.#cache, 'tree-'));
    try {
      const directory = await this.#repository.checkout(id, tree, this.#signal);
      const text = await run('kubectl', ['kustomize', directory], this.#signal);
      return renderFiles([{ path: kustomization.path, text }]);
    } catch (thrown) {
      const { message } = toAppError(thrown);
      return { objects: [], problems: [{ source: { file: kustomization.path, document: 1 }, message }] };
    } finally {
      await rm(tree, { recursive: true, force: true });
    }
  }

  /** Follows the commit's objects until all are what they should be, one has failed, or the next commit arrives. */
  #watchHealth(commit: Commit, objects: Rendered[]): void {
    this.#watching?.abort();
    const watching = new AbortController();
    this.#watching = watching;
    const signal = AbortSignal.any([this.#signal, watching.signal]);
    const deadline = Date.now() + this.#options.healthTimeoutMs;
    const follow = async () => {
      for (;;) {
        const waiting: string[] = [];
        for (const { object } of objects) {
          const kind = await this.#sync.discovery.kindOf(object, signal);
          const namespace = kind.namespaced
            ? (object.metadata.namespace ?? this.#options.namespace)
            : undefined;
          const live = await this.#options.client.find<KubeObject>(
            kind,
            namespace,
            object.metadata.name,
            signal,
          );
          const health = live
            ? healthOf(live)
            : ({ status: 'InProgress', message: 'is not there yet' } as const);
          if (health.status === 'Failed') {
            return this.#emit({
              type: 'unhealthy',
              commit,
              message: `${describe(object)}: ${health.message}`,
            });
          }
          if (health.status === 'InProgress') waiting.push(`${describe(object)} ${health.message}`);
        }
        if (waiting.length === 0) return this.#emit({ type: 'healthy', commit });
        if (Date.now() >= deadline) {
          return this.#emit({ type: 'unhealthy', commit, message: `still waiting: ${waiting.join('; ')}` });
        }
        await systemClock.sleep(1000, signal);
      }
    };
    follow().catch((thrown: unknown) => {
      if (!signal.aborted) this.#emit({ type: 'unhealthy', commit, message: toAppError(thrown).message });
    });
  }

  #emit(event: AgentEvent): void {
    this.#options.onEvent?.(event, this.#inventory);
  }

  async #sleep(milliseconds: number): Promise<void> {
    if (this.#moved) return;
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    await systemClock.sleep(milliseconds, AbortSignal.any([this.#signal, woken.signal])).catch(() => {});
  }
}

const sameIn = (
  entries: { kind: string; namespace?: string; name: string }[],
  entry: (typeof entries)[number],
) =>
  entries.some(
    (other) => other.kind === entry.kind && other.name === entry.name && other.namespace === entry.namespace,
  );
