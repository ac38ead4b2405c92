import type { Sidecar } from './mesh.ts';

const EVERY = 250;
/** Certificates are renewed so long before their end, and longer than any limit on time of the proxies. */
const LOOK_BACK = 10_000;
/** Seconds of it without a core that make a limit on time no fault of the proxy's. */
const TOO_LONG = 3;
/** What its limits on time, and those of its certificates, end with. */
const LATE = /timed out|no answer within|expired/;

/**
 * On a machine that is busy with other things a proxy may get no core for longer than its limits on time, and what is lost then
 * says nothing about it. Told by the kernel's own count of the time that a process was ready and did not run.
 */
export class Starvation {
  readonly #sidecars: readonly Sidecar[];
  readonly #seen: { at: number; waited: number[] }[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor(sidecars: readonly Sidecar[]) {
    this.#sidecars = sidecars;
    this.#timer = setInterval(() => this.#look(), EVERY);
    this.#look();
  }

  #look(): void {
    this.#seen.push({ at: Date.now(), waited: this.#sidecars.map((each) => each.waited) });
  }

  /** Seconds that each of them waited for a core, so far. */
  get waited(): number[] {
    const [first, last] = [this.#seen[0]!, this.#seen.at(-1)!];
    return last.waited.map((each, n) => each - first.waited[n]!);
  }

  /** Whether that is why something was lost. */
  explains({ what, at }: { what: string; at: number }): boolean {
    if (!LATE.test(what)) return false;
    const around = this.#seen.filter((each) => each.at > at - LOOK_BACK && each.at <= at + EVERY);
    const [first, last] = [around[0], around.at(-1)];
    if (!first || !last) return false;
    return last.waited.some((each, n) => each - first.waited[n]! > TOO_LONG);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
