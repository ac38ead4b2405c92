import { annotations, labels } from '../../api/names.ts';
import type { AdmissionHandler, JsonPatchOperation } from '../../controller/admission.ts';
import { AppError } from '../../lib/errors.ts';
import type { Logger } from '../../lib/log.ts';
import { sameJson } from '../../lib/same-json.ts';
import type { InjectOptions } from './options.ts';
import { injectPodTemplate, skipReason } from './patch.ts';
import type { PodLike } from './pod.ts';

export interface InjectHandlerOptions extends Omit<InjectOptions, 'namespace' | 'enabled' | 'defaults'> {
  /** Labels and annotations of the namespace; undefined while it is unknown. */
  namespaceMetadata: (
    namespace: string,
  ) => { labels?: Record<string, string>; annotations?: Record<string, string> } | undefined;
  /** Called before an injected pod is let in: what its volumes need must be there. */
  prepare?: (namespace: string, signal: AbortSignal) => Promise<void>;
  log: Logger;
}

/** The /inject webhook: pods CREATE. */
export function injectHandler(options: InjectHandlerOptions): AdmissionHandler {
  const { namespaceMetadata, prepare, log, ...inject } = options;
  return async (request, signal) => {
    if (
      request.operation !== 'CREATE' ||
      request.kind.kind !== 'Pod' ||
      request.subResource ||
      !request.object
    )
      return { allowed: true };
    const namespace = request.namespace ?? request.object.metadata.namespace ?? 'default';
    const pod = request.object as PodLike;
    const known = namespaceMetadata(namespace);
    const settings: InjectOptions = {
      ...inject,
      namespace,
      enabled: known?.labels?.[labels.inject] === 'enabled',
      defaults: known?.annotations ?? {},
    };
    const reason = skipReason(pod, settings);
    const name = pod.metadata?.name ?? pod.metadata?.generateName;
    if (reason !== undefined) {
      log.debug({ namespace, pod: name, reason }, 'pod not injected');
      return { allowed: true };
    }
    let injected: PodLike;
    try {
      injected = injectPodTemplate(pod, settings);
    } catch (thrown) {
      // What somebody wrote cannot be followed: a pod without it would be another one than was asked for.
      if (thrown instanceof AppError && thrown.code === 'Invalid')
        return { allowed: false, code: 400, message: thrown.message };
      throw thrown;
    }
    if (prepare && !request.dryRun) await prepare(namespace, signal);
    log.info(
      { namespace, pod: name, inbound: injected.metadata?.annotations?.[annotations.inboundPorts] },
      'injected the sidecar',
    );
    return { allowed: true, patch: jsonPatch(pod, injected) };
  };
}

/** The operations that turn one pod into its injected form; only these fields ever differ. */
export function jsonPatch(from: PodLike, to: PodLike): JsonPatchOperation[] {
  const patch: JsonPatchOperation[] = [];
  if (!from.metadata) patch.push({ op: 'add', path: '/metadata', value: to.metadata });
  else if (!sameJson(from.metadata.annotations, to.metadata?.annotations))
    patch.push({ op: 'add', path: '/metadata/annotations', value: to.metadata?.annotations });
  for (const field of ['initContainers', 'containers', 'volumes'] as const)
    if (!sameJson(from.spec?.[field], to.spec?.[field]))
      patch.push({ op: 'add', path: `/spec/${field}`, value: to.spec?.[field] });
  return patch;
}
