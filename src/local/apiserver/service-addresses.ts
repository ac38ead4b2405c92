import type { KubeObject } from '../../api/meta.ts';
import { invalid, invalidValue } from './errors.ts';
import type { Store } from './storage/store.ts';

const toNumber = (address: string): number =>
  address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
const toAddress = (value: number): string =>
  [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');

/** Gives each Service an address of the range, never one that a live Service has. */
export class ServiceAddresses {
  readonly #first: number;
  readonly #count: number;
  readonly #store: Store;
  #next: number;

  constructor(range: string, store: Store) {
    const [base, bits] = range.split('/') as [string, string];
    this.#first = toNumber(base) + 1;
    this.#count = 2 ** (32 - Number(bits)) - 2;
    this.#store = store;
    this.#next = 0;
  }

  assign(service: KubeObject): void {
    const spec = service.spec as { type?: string; clusterIP?: string; clusterIPs?: string[] };
    if (spec.type === 'ExternalName') return;
    const used = new Set(
      this.#store.list('/services').map(({ object }) => (object.spec as { clusterIP?: string }).clusterIP),
    );
    if (!spec.clusterIP && spec.clusterIPs?.[0]) spec.clusterIP = spec.clusterIPs[0];
    if (!spec.clusterIP) spec.clusterIP = this.#free(used);
    else if (spec.clusterIP !== 'None' && used.has(spec.clusterIP))
      throw invalid('', 'Service', service.metadata.name, [
        invalidValue(
          'spec.clusterIPs',
          [spec.clusterIP],
          'failed to allocate IP: provided IP is already allocated',
        ),
      ]);
    spec.clusterIPs = [spec.clusterIP];
  }

  #free(used: Set<string | undefined>): string {
    for (let tries = 0; tries < this.#count; tries += 1) {
      const address = toAddress(this.#first + this.#next);
      this.#next = (this.#next + 1) % this.#count;
      if (!used.has(address)) return address;
    }
    throw new Error(
      'the range of Service addresses is used up: delete Services or start with a larger --service-cidr',
    );
  }
}
