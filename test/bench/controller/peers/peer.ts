import type { KubeObject, ResourceKind } from '../../../../src/api/meta.ts';
import type { KubeClient } from '../../../../src/kube/types.ts';

/** One application of a fleet. */
export interface Application {
  client: KubeClient;
  namespace: string;
  name: string;
}

/** How far a peer says that one of its canaries has come. */
export interface Progress {
  /** Nothing is going on, and a change would be taken up. */
  resting: boolean;
  /** It has seen a change, and is at it. */
  begun: boolean;
  /** Percent of the traffic that the new version gets while it is on trial; 0 at rest. */
  weight: number;
}

/** Another progressive-delivery controller, run from a binary that is on the PATH. */
export interface Peer {
  name: string;
  binary: string;
  flags(kubeconfig: string): string[];
  /** Kinds that have to exist; they are made without a schema, which costs the API server nothing. */
  kinds: ResourceKind[];
  /** The kind that shows the progress. */
  progressKind: ResourceKind;
  progress(object: KubeObject): Progress;
  /** What has to be there before a pod runs (v1). */
  createApplication(application: Application): Promise<unknown>;
  /** Puts it under the peer's control: 10 %, 50 %, all, as fast as the peer goes. */
  guard(application: Application): Promise<unknown>;
  /** What Argo CD and Flux do on a commit. */
  apply(application: Application, version: string): Promise<unknown>;
}
