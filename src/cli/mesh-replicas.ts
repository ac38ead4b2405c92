import { kinds } from '../api/kinds.ts';
import type { KubeObject } from '../api/meta.ts';
import { MESH_SERVICE, ports } from '../api/names.ts';
import { Informer, type KubeClient } from '../kube/index.ts';
import type { Logger } from '../lib/log.ts';
import type { IdentityClient } from '../mesh/identity/client.ts';
import { Acknowledgements } from '../traffic/index.ts';

/** Null and absent mean unknown, which EndpointSlice readers take for ready, serving and not terminating. */
interface Conditions {
  ready?: boolean | null;
  serving?: boolean | null;
  terminating?: boolean | null;
}

/** What is read of an EndpointSlice of `weir mesh`. */
export interface MeshSlice extends KubeObject {
  endpoints?: { addresses: string[]; conditions?: Conditions }[] | null;
  ports?: { name?: string; port?: number }[] | null;
}

export interface MeshFollower {
  /** To be started by the caller. */
  slices: Informer<MeshSlice>;
  /** To be stopped by the caller. */
  acknowledgements: Acknowledgements;
}

/** One acknowledgement stream to every replica of `weir mesh`, as its EndpointSlices and the certificate come and change. */
export function followMesh(options: {
  client: KubeClient;
  identity: Pick<IdentityClient, 'current' | 'onRotate'>;
  /** Weir's own. */
  namespace: string;
  log: Logger;
}): MeshFollower {
  const { client, identity, namespace, log } = options;
  const slices = new Informer<MeshSlice>({
    client,
    log,
    kind: kinds.EndpointSlice,
    namespace,
    labelSelector: `kubernetes.io/service-name=${MESH_SERVICE}`,
  });
  const acknowledgements = new Acknowledgements({
    replicas: () => (slices.hasSynced ? replicasOf(slices.store.list()) : undefined),
    servername: `${MESH_SERVICE}.${namespace}.svc`,
    tls: () => identity.current(),
    log,
  });
  slices.onChange(() => acknowledgements.refresh());
  identity.onRotate(() => acknowledgements.refresh());
  return { slices, acknowledgements };
}

/**
 * `host:port` of the replicas to ask, sorted: all that may have a proxy connected. One that is merely unready, or that
 * terminates but still serves, keeps its streams; what terminates and serves no more is closing them, may hang on a dead
 * node for ever, and its proxies are waited for like those of a replica that has gone.
 */
export function replicasOf(slices: MeshSlice[]): string[] {
  const addresses = slices.flatMap(({ endpoints, ports: named }) => {
    const port = named?.find(({ name }) => name === 'discovery')?.port ?? ports.discovery;
    return (endpoints ?? [])
      .filter(({ conditions }) => conditions?.terminating !== true || conditions.serving !== false)
      .flatMap((endpoint) => endpoint.addresses.map((address) => `${address}:${port}`));
  });
  return [...new Set(addresses)].sort();
}
