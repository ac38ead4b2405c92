/* A pod or a pod template, as far as the injector reads it; what it does not know it keeps. */

export interface EnvVar {
  name: string;
  value?: string;
  valueFrom?: { fieldRef?: { fieldPath: string }; [source: string]: unknown };
}

export interface Container {
  name: string;
  image?: string;
  args?: string[];
  env?: EnvVar[];
  ports?: { name?: string; containerPort: number; protocol?: string; [field: string]: unknown }[];
  restartPolicy?: string;
  securityContext?: { runAsUser?: number; [field: string]: unknown };
  [field: string]: unknown;
}

export interface PodLike {
  metadata?: {
    name?: string;
    namespace?: string;
    generateName?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    ownerReferences?: { kind: string; name: string; controller?: boolean }[];
    [field: string]: unknown;
  };
  spec?: {
    hostNetwork?: boolean;
    serviceAccountName?: string;
    containers?: Container[];
    initContainers?: Container[];
    securityContext?: { runAsUser?: number; [field: string]: unknown };
    volumes?: { name: string; [field: string]: unknown }[];
    [field: string]: unknown;
  };
  [field: string]: unknown;
}

export const PROXY_CONTAINER = 'weir-proxy';
export const INIT_CONTAINER = 'weir-init';
export const TRUST_VOLUME = 'weir-trust';
export const IDENTITY_VOLUME = 'weir-identity';
/** Where iptables keeps its lock. */
export const RUN_VOLUME = 'weir-run';

/** Ports that the pod's containers declare, of every protocol. */
export const declaredPorts = ({ spec }: PodLike): number[] =>
  [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])].flatMap(({ ports = [] }) =>
    ports.map(({ containerPort }) => containerPort),
  );
