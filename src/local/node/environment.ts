import { AppError } from '../../lib/errors.ts';
import type { Container, NodePod } from './types.ts';

export type Data = Record<string, string>;

/** ConfigMaps and Secrets (decoded) by name; undefined means that there is none. */
export interface References {
  configMap(name: string): Data | undefined;
  secret(name: string): Data | undefined;
}

/** The value of a downward API field, such as `metadata.labels['app']` or `status.podIP`. */
export function fieldOf(pod: NodePod, podIP: string, hostIP: string, path: string): string {
  const { metadata, spec } = pod;
  const [, map, key] = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path) ?? [];
  if (map) return metadata[map as 'labels' | 'annotations']?.[key!] ?? '';
  switch (path) {
    case 'metadata.name':
      return metadata.name;
    case 'metadata.namespace':
      return metadata.namespace ?? '';
    case 'metadata.uid':
      return metadata.uid ?? '';
    case 'metadata.labels':
    case 'metadata.annotations':
      return Object.entries(metadata[path === 'metadata.labels' ? 'labels' : 'annotations'] ?? {})
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
        .join('\n');
    case 'spec.nodeName':
      return spec.nodeName ?? '';
    case 'spec.serviceAccountName':
      return spec.serviceAccountName ?? 'default';
    case 'status.podIP':
    case 'status.podIPs':
      return podIP;
    case 'status.hostIP':
    case 'status.hostIPs':
      return hostIP;
    default:
      throw new AppError('Invalid', `fieldRef ${path} is not a field that the downward API offers`);
  }
}

/** Replaces `$(NAME)` of what is known; `$$(NAME)` is a literal. */
export function expand(text: string, env: Data): string {
  return text.replace(/\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)/g, (whole, name: string | undefined) =>
    whole === '$$' ? '$' : (env[name!] ?? whole),
  );
}

function pick(data: Data | undefined, kind: string, name: string, key: string, optional?: boolean) {
  const value = data?.[key];
  if (value === undefined && !optional) {
    const what = data ? `key ${key} in ${kind} ${name}` : `${kind} ${name}`;
    throw new AppError(
      'NotFound',
      `the container needs ${what}, which does not exist: create it, or mark the reference optional`,
    );
  }
  return value;
}

/** A container's environment, in the order of the spec, later entries seeing earlier ones. */
export function environmentOf(
  pod: NodePod,
  container: Container,
  addresses: { podIP: string; hostIP: string },
  references: References,
): Data {
  const { podIP, hostIP } = addresses;
  const env: Data = {
    POD_IP: podIP,
    POD_NAME: pod.metadata.name,
    POD_NAMESPACE: pod.metadata.namespace ?? 'default',
    HOSTNAME: pod.metadata.name,
  };
  for (const { prefix = '', configMapRef, secretRef } of container.envFrom ?? []) {
    const reference = configMapRef ?? secretRef;
    if (!reference) continue;
    const data = configMapRef ? references.configMap(reference.name) : references.secret(reference.name);
    if (!data && !reference.optional) {
      throw new AppError(
        'NotFound',
        `envFrom names ${reference.name}, which does not exist: create it, or mark it optional`,
      );
    }
    for (const [key, value] of Object.entries(data ?? {})) env[prefix + key] = value;
  }
  for (const { name, value, valueFrom } of container.env ?? []) {
    if (!valueFrom) {
      env[name] = expand(value ?? '', env);
      continue;
    }
    const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = valueFrom;
    let resolved: string | undefined;
    if (fieldRef) resolved = fieldOf(pod, podIP, hostIP, fieldRef.fieldPath);
    else if (resourceFieldRef) {
      const [section, resource] = resourceFieldRef.resource.split('.');
      resolved = container.resources?.[section as 'limits' | 'requests']?.[resource!] ?? '0';
    } else if (configMapKeyRef) {
      const { name: map, key, optional } = configMapKeyRef;
      resolved = pick(references.configMap(map), 'ConfigMap', map, key, optional);
    } else if (secretKeyRef) {
      const { name: secret, key, optional } = secretKeyRef;
      resolved = pick(references.secret(secret), 'Secret', secret, key, optional);
    }
    if (resolved !== undefined) env[name] = resolved;
  }
  return env;
}
