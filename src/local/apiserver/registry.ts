import type { KubeObject } from '../../api/meta.ts';
import { servedByCrd } from './crd/served.ts';
import { builtinKinds, type Served } from './kinds.ts';

/** What is served right now: the built-in kinds, and the kinds of established CRDs. */
export class Registry {
  readonly #builtin = builtinKinds();
  readonly #custom = new Map<string, Served[]>();
  readonly #index = new Map<string, Served>();
  readonly #kinds = new Map<string, Served>();
  /** Grows with every change; discovery and OpenAPI documents are cached under it. */
  version = 0;

  constructor() {
    this.#reindex();
  }

  find(group: string, version: string, plural: string): Served | undefined {
    return this.#index.get(`${group}/${version}/${plural}`);
  }

  /** The kind that serves a resource in whichever version comes first. */
  findResource(group: string, plural: string): Served | undefined {
    return this.all().find((served) => served.group === group && served.plural === plural);
  }

  findKind(group: string, version: string, kind: string): Served | undefined {
    return this.#kinds.get(`${group}/${version}/${kind}`);
  }

  all(): Served[] {
    return [...this.#builtin, ...[...this.#custom.values()].flat()];
  }

  /** Group names in discovery order. */
  groups(): string[] {
    return [...new Set(this.all().map(({ group }) => group))].filter(Boolean);
  }

  setCrd(crd: KubeObject): void {
    this.#custom.set(crd.metadata.name, servedByCrd(crd));
    this.#reindex();
  }

  removeCrd(name: string): void {
    if (this.#custom.delete(name)) this.#reindex();
  }

  #reindex(): void {
    this.version += 1;
    this.#index.clear();
    this.#kinds.clear();
    for (const served of this.all()) {
      this.#index.set(`${served.group}/${served.version}/${served.plural}`, served);
      this.#kinds.set(`${served.group}/${served.version}/${served.kind}`, served);
    }
  }
}
