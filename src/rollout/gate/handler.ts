import { kinds } from '../../api/kinds.ts';
import { GATE_CONFIG_MAP, PINS_CONFIG_MAP } from '../../api/names.ts';
import type { AdmissionHandler, AdmissionRequest } from '../../controller/admission.ts';
import type { KubeClient } from '../../kube/types.ts';
import type { ConfigMap } from '../objects.ts';
import { decideBackstop, decideDeployment, decideService, type GateData } from './admission.ts';

export interface GateOptions {
  client: KubeClient;
  /** User name of the controller's ServiceAccount. */
  weirUser: string;
}

/** Live, not from a cache: a gate that was written a moment ago holds at once. */
async function gateOf(
  client: KubeClient,
  request: AdmissionRequest,
  name: string,
  signal: AbortSignal,
): Promise<GateData> {
  const namespace = request.namespace ?? request.object?.metadata.namespace;
  if (!namespace) return undefined;
  const map = await client.find<ConfigMap>(kinds.ConfigMap, namespace, name, signal);
  return map?.data;
}

/** The webhook at /gate, for clusters without MutatingAdmissionPolicy: Deployments and Services. */
export function gateHandler({ client, weirUser }: GateOptions): AdmissionHandler {
  return async (request, signal) => {
    if (request.resource.resource === 'services') {
      return decideService(request, await gateOf(client, request, PINS_CONFIG_MAP, signal), weirUser);
    }
    return decideDeployment(request, await gateOf(client, request, GATE_CONFIG_MAP, signal), weirUser);
  };
}

/** The validating webhook at /gate-backstop. */
export function backstopHandler({ client }: Pick<GateOptions, 'client'>): AdmissionHandler {
  return async (request, signal) =>
    decideBackstop(request, await gateOf(client, request, GATE_CONFIG_MAP, signal));
}
