import type { KubeObject } from '../../api/meta.ts';

/* The parts of the core kinds that discovery reads. */

export interface ServicePort {
  name?: string;
  port: number;
  protocol?: string;
  appProtocol?: string;
  targetPort?: number | string;
}

export interface Service extends KubeObject {
  spec?: {
    type?: string;
    clusterIP?: string;
    clusterIPs?: string[];
    /** `IPv4`, `IPv6`, the one it prefers first. */
    ipFamilies?: string[];
    externalName?: string;
    selector?: Record<string, string>;
    ports?: ServicePort[];
  };
}

export interface SliceEndpoint {
  addresses?: string[];
  conditions?: { ready?: boolean | null; serving?: boolean | null; terminating?: boolean | null };
  targetRef?: { kind?: string; namespace?: string; name?: string; uid?: string };
  zone?: string;
}

export interface EndpointSlice extends KubeObject {
  addressType?: string;
  endpoints?: SliceEndpoint[] | null;
  ports?: { name?: string | null; port?: number | null; protocol?: string | null }[] | null;
}

export interface Pod extends KubeObject {
  spec?: { serviceAccountName?: string; nodeName?: string; hostNetwork?: boolean };
  status?: {
    phase?: string;
    podIP?: string;
    podIPs?: { ip?: string }[];
    conditions?: { type: string; status: string }[];
  };
}

/** Those that a proxy has to do with: a number may stand for TCP and for UDP, with other targets. */
export const tcpPorts = (service: Service): ServicePort[] =>
  (service.spec?.ports ?? []).filter(({ protocol }) => (protocol ?? 'TCP') === 'TCP');
