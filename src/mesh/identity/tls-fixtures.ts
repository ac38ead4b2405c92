/** Credentials of two authorities, and a TLS client of Node's own, for tests of the transports. */
import tls from 'node:tls';
import { beforeAll } from '@jest/globals';
import { cleanups, type Recorder } from '../proxy/transport/contract-fixtures.ts';
import type { CredentialSource, Credentials } from '../proxy/transport/types.ts';
import { until } from '../proxy/until-fixtures.ts';
import { Authority, createRoot } from './authority.ts';
import { createRequest } from './client/csr.ts';

export const spiffe = (account: string) => `spiffe://weir.local/ns/shop/sa/${account}`;

export let authority: Authority;
export let foreign: Authority;
export const someone = new Map<string, Credentials>();

export async function material(account: string, by = authority): Promise<Credentials> {
  const { key, csr } = createRequest();
  const names = { spiffe: spiffe(account), dns: `${account}.shop.weir.local` };
  const { certificate } = await by.signRequest(csr, names);
  return { key, cert: certificate, trust: by.bundle };
}

beforeAll(async () => {
  const options = { trustDomain: 'weir.local' };
  authority = await Authority.load(await createRoot('weir.local'), options);
  foreign = await Authority.load(await createRoot('weir.local'), options);
  for (const account of ['web', 'client']) someone.set(account, await material(account));
});

/** Credentials that can change. */
export class Changing implements CredentialSource {
  #now: Credentials | undefined;
  readonly #listeners = new Set<() => void>();

  constructor(now?: Credentials) {
    this.#now = now;
  }

  current() {
    return this.#now;
  }

  onRotate(listener: () => void) {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  rotate(to: Credentials) {
    this.#now = to;
    for (const listener of this.#listeners) listener();
  }
}

export const as = (account: string) => new Changing(someone.get(account));
export const WEB = { identity: spiffe('web') };

/** What a client of Node's own is told, and whether it got an answer to one byte. */
export async function rawTls(port: number, options: tls.ConnectionOptions) {
  const socket = tls.connect({ host: '127.0.0.1', port, checkServerIdentity: () => undefined, ...options });
  cleanups.push(() => void socket.destroy());
  socket.on('error', () => {});
  let answered = false;
  socket.on('data', () => {
    answered = true;
  });
  socket.write('x');
  await until(() => answered || socket.destroyed || socket.readableEnded);
  return { socket, answered };
}

export const echoing = (server: Recorder) => {
  server.on.data = (chunk) => void server.connection.write(chunk);
  server.on.end = () => server.connection.end();
};
