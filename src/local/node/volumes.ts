import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { AppError } from '../../lib/errors.ts';
import { type Data, fieldOf, type References } from './environment.ts';
import type { Mount } from './rewrite.ts';
import type { Container, KeyToPath, NodePod, Volume, VolumeSource } from './types.ts';

export const TOKEN_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';

export interface VolumeContext {
  pod: NodePod;
  podIP: string;
  hostIP: string;
  references: References;
  /** A token bound to the pod, for an audience (undefined: the API server's own). */
  token(audience: string | undefined): Promise<string>;
}

/** Writes only what changed, and atomically, since the container may be reading. */
export function writeIfChanged(file: string, content: string, mode = 0o644): void {
  try {
    if (readFileSync(file, 'utf8') === content) return;
  } catch {
    mkdirSync(dirname(file), { recursive: true });
  }
  writeFileSync(`${file}.new`, content, { mode });
  renameSync(`${file}.new`, file);
}

function writeData(root: string, data: Data, items: KeyToPath[] | undefined, mode: number): void {
  if (!items) {
    for (const [key, value] of Object.entries(data)) writeIfChanged(join(root, key), value, mode);
    return;
  }
  for (const { key, path } of items) {
    const value = data[key];
    if (value !== undefined) writeIfChanged(join(root, path), value, mode);
  }
}

async function materialize(root: string, source: VolumeSource, context: VolumeContext): Promise<void> {
  const { pod, podIP, hostIP, references } = context;
  const missing = (kind: string, name: string) =>
    new AppError(
      'NotFound',
      `a volume needs ${kind} ${name}, which does not exist: create it, or mark the volume optional`,
    );
  if (source.configMap) {
    const { name, items, optional } = source.configMap;
    const data = references.configMap(name);
    if (data) writeData(root, data, items, 0o644);
    else if (!optional) throw missing('ConfigMap', name);
  }
  if (source.secret) {
    const name = source.secret.secretName ?? source.secret.name ?? '';
    const data = references.secret(name);
    if (data) writeData(root, data, source.secret.items, 0o600);
    else if (!source.secret.optional) throw missing('Secret', name);
  }
  for (const { path, fieldRef } of source.downwardAPI?.items ?? []) {
    if (fieldRef) writeIfChanged(join(root, path), fieldOf(pod, podIP, hostIP, fieldRef.fieldPath));
  }
  if (source.serviceAccountToken) {
    const { path, audience } = source.serviceAccountToken;
    writeIfChanged(join(root, path), await context.token(audience), 0o600);
  }
}

/** Brings a pod's volumes up to date under `root`; called again when something they show has changed. */
export async function syncVolumes(root: string, context: VolumeContext): Promise<void> {
  for (const volume of context.pod.spec.volumes ?? []) {
    const folder = join(root, volume.name);
    mkdirSync(folder, { recursive: true });
    await materialize(folder, volume, context);
    for (const source of volume.projected?.sources ?? []) await materialize(folder, source, context);
  }
}

/** Where a container's mounts really are. */
export function mountsOf(
  container: Container,
  volumes: Volume[],
  root: string,
  tokenDir: string | undefined,
): Mount[] {
  const mounts = (container.volumeMounts ?? []).map(({ name, mountPath, subPath }) => {
    const host = volumes.find((volume) => volume.name === name)?.hostPath?.path;
    return { mountPath, realPath: join(host ?? join(root, name), subPath ?? '') };
  });
  const explicit = mounts.some(({ mountPath }) => mountPath.replace(/\/+$/, '') === TOKEN_PATH);
  if (tokenDir && !explicit) mounts.push({ mountPath: TOKEN_PATH, realPath: tokenDir });
  return mounts;
}

/** Names of the ConfigMaps and Secrets that a pod's environment and volumes mention. */
export function referencesOf(pod: NodePod): { configMaps: Set<string>; secrets: Set<string> } {
  const configMaps = new Set<string>();
  const secrets = new Set<string>();
  const source = ({ configMap, secret }: VolumeSource) => {
    if (configMap) configMaps.add(configMap.name);
    if (secret) secrets.add(secret.secretName ?? secret.name ?? '');
  };
  for (const volume of pod.spec.volumes ?? []) {
    source(volume);
    volume.projected?.sources?.forEach(source);
  }
  for (const { env = [], envFrom = [] } of [...pod.spec.containers, ...(pod.spec.initContainers ?? [])]) {
    for (const { valueFrom } of env) {
      if (valueFrom?.configMapKeyRef) configMaps.add(valueFrom.configMapKeyRef.name);
      if (valueFrom?.secretKeyRef) secrets.add(valueFrom.secretKeyRef.name);
    }
    for (const { configMapRef, secretRef } of envFrom) {
      if (configMapRef) configMaps.add(configMapRef.name);
      if (secretRef) secrets.add(secretRef.name);
    }
  }
  return { configMaps, secrets };
}
