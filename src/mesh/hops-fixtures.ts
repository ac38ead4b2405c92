/** Proxies with mutual TLS between them, for tests. */
import { silentLogger } from '../lib/log.ts';
import { Authority, createRoot } from './identity/authority.ts';
import { createRequest } from './identity/client/csr.ts';
import { cleanups, destination, transport } from './proxy/fixtures.ts';
import { DataPlane } from './proxy/proxy.ts';
import type { CredentialSource } from './proxy/transport/types.ts';

export const ID = 'spiffe://weir.local/ns/shop/sa/web';

async function credentials(): Promise<CredentialSource> {
  const authority = await Authority.load(await createRoot('weir.local'), { trustDomain: 'weir.local' });
  const { key, csr } = createRequest();
  const { certificate } = await authority.signRequest(csr, { spiffe: ID, dns: 'web.shop.weir.local' });
  const current = { key, cert: certificate, trust: authority.bundle };
  return { current: () => current, onRotate: () => () => {} };
}

/** A data plane of its own with this in its configuration, ended with the test. */
export async function plane(config: object, source?: CredentialSource): Promise<DataPlane> {
  const each = new DataPlane({
    transport: transport(source),
    log: silentLogger,
    // A machine that is busy with other things may stop this process, in which both ends live, for seconds.
    config: { inbound: [], outbound: [], destinations: {}, limits: { connectTimeout: 60_000 }, ...config },
  });
  await each.start();
  cleanups.push(() => each.destroy());
  return each;
}

/** An inbound listener in front of `app`. */
export const inbound = (app: string, config: object = {}) =>
  plane({ inbound: [{ listen: '127.0.0.1:0', forward: app, tls: 'off' }], ...config });

/** Two proxies with mutual TLS between them, in front of `app`. */
export async function hops(
  app: string,
  to = destination([]),
  sources?: Record<'inbound' | 'outbound', CredentialSource>,
) {
  const both = sources ? undefined : await credentials();
  const inner = await plane(
    { inbound: [{ listen: '127.0.0.1:0', forward: app, tls: 'required' }] },
    sources?.inbound ?? both,
  );
  to.backends[0]!.endpoints = [{ address: `127.0.0.1:${inner.ports[0]}`, identity: ID }];
  const outbound = await plane(
    { outbound: [{ listen: '127.0.0.1:0', destination: to.key }], destinations: { [to.key]: to } },
    sources?.outbound ?? both,
  );
  return { inbound: inner, outbound };
}
