// control-plane.ts DIR: a mesh control plane of one Service for a sidecar. Writes its trust bundle and a token into DIR, says its
// port, and ends with its standard input.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { silentLogger } from '../../../../src/lib/log.ts';
import { Catalog } from '../../../../src/mesh/discovery/catalog.ts';
import { ClusterIndex } from '../../../../src/mesh/discovery/cluster-index.ts';
import { pod, service, slice } from '../../../../src/mesh/discovery/fixtures.ts';
import { DiscoveryServer } from '../../../../src/mesh/discovery/server.ts';
import { Authority, createRoot } from '../../../../src/mesh/identity/authority.ts';

const dir = process.argv[2]!;
const trustDomain = 'weir.local';
const authority = await Authority.load(await createRoot(trustDomain), { trustDomain });
const index = new ClusterIndex({ trustDomain });
const catalog = new Catalog({ index, leaseSeconds: 15 });
catalog.set({ kind: 'Service', object: service('web') });
catalog.set({ kind: 'Pod', object: pod('web-1') });
catalog.set({ kind: 'EndpointSlice', object: slice('web', [{ ip: '127.0.0.1', pod: 'web-1' }]) });
const tls = await authority.issueServer(['weir-mesh.weir.svc']);
const server = new DiscoveryServer({
  listen: { host: '127.0.0.1', port: 0 },
  tls: () => tls,
  trust: () => authority.bundle,
  trustDomain,
  catalog,
  index,
  certificates: async (body) => {
    const names = { spiffe: 'spiffe://weir.local/ns/shop/sa/client', dns: 'client.shop.weir.local' };
    const { certificate, notAfter } = await authority.signRequest((body as { csr: string }).csr, names);
    return { certificate, notAfter, trust: authority.bundle };
  },
  log: silentLogger,
});
writeFileSync(join(dir, 'trust.pem'), authority.bundle);
writeFileSync(join(dir, 'token'), 'a token');
console.log(await server.start());
process.stdin.resume().once('end', () => process.exit(0));
