import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import { kinds } from '../../../src/api/kinds.ts';
import type { KubeObject } from '../../../src/api/meta.ts';
import type { App } from '../../e2e/support/app.ts';
import { eventually } from '../../e2e/support/cluster.ts';
import { isReady } from '../../e2e/support/pods.ts';
import { manifests } from './engine.ts';
import { Repository } from './git.ts';
import { tool } from './tools.ts';

const run = promisify(execFile);
type Files = Record<string, string | object[]>;

/** Where a team keeps its application, when that is no plain manifest. */
export interface Source {
  /** What is committed for one version; `errors` is the share of requests that it answers with 500. */
  files(app: App, version: string, errors?: string): Files;
  /** Folder that a GitOps engine is pointed at. */
  path: string;
  /** What Argo CD's repo-server makes of the checkout in `dir`, and a team that commits rendered manifests too. */
  render(app: App, dir: string): Promise<string>;
}

/** A base, and an overlay that sets the namespace, the image's tag and a configuration whose name ends in a hash. */
export const kustomizeOverlay: Source = {
  path: './overlays/production',
  files: (app, version, errors = '0') => ({
    'base/web.yaml': manifests(app, 'base').map((object) => withSettings(object as KubeObject)),
    'base/kustomization.yaml': stringify({ resources: ['web.yaml'] }),
    'overlays/production/kustomization.yaml': stringify({
      namespace: app.namespace,
      resources: ['../../base'],
      images: [{ name: 'weir-sample', newTag: version }],
      labels: [{ pairs: { environment: 'production' }, includeSelectors: false, includeTemplates: true }],
      configMapGenerator: [{ name: 'settings', literals: [`ERROR_RATE=${errors}`] }],
      // While a canary is judged, the stable pods still need the configuration that is no longer in Git.
      generatorOptions: {
        annotations: {
          'kustomize.toolkit.fluxcd.io/prune': 'disabled',
          'argocd.argoproj.io/sync-options': 'Prune=false',
        },
      },
      patches: [
        {
          target: { kind: 'Deployment', name: 'web' },
          patch: stringify([{ op: 'replace', path: '/spec/replicas', value: 3 }]),
        },
      ],
    }),
  }),
  render: async (_, dir) =>
    (await run('kubectl', ['kustomize', `${dir}/overlays/production`], { encoding: 'utf8' })).stdout,
};

/** A chart as `helm create` teaches it: values, standard labels, and the checksum of its configuration in the template. */
export const helmChart: Source = {
  path: './chart',
  files: (app, version, errors = '0') => ({
    'chart/Chart.yaml': stringify({ apiVersion: 'v2', name: 'web', version: '0.1.0', appVersion: version }),
    'chart/values.yaml': stringify({ image: { tag: 'unset' }, replicas: 2, settings: {} }),
    'values-production.yaml': stringify({
      image: { tag: version },
      replicas: 3,
      settings: { ERROR_RATE: errors },
    }),
    'chart/templates/settings.yaml': `apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
  namespace: {{ .Release.Namespace }}
data:
  {{- range $key, $value := .Values.settings }}
  {{ $key }}: {{ $value | quote }}
  {{- end }}
`,
    'chart/templates/web.yaml': `{{- define "checksum" }}{{ include (print $.Template.BasePath "/settings.yaml") . | sha256sum }}{{ end }}
${manifests(app, '{{ .Values.image.tag }}')
  .map((object) => stringify(charted(withSettings(object as KubeObject))))
  .join('---\n')
  // A number, which YAML of this side could only have quoted.
  .replace(/"\{\{ \.Values\.replicas \}\}"/, '{{ .Values.replicas }}')}`,
  }),
  render: async (app, dir) => {
    const args = ['template', 'web', `${dir}/chart`, '--namespace', app.namespace];
    return (
      await run(await tool('helm'), [...args, '-f', `${dir}/values-production.yaml`], { encoding: 'utf8' })
    ).stdout;
  },
};

/**
 * A pod of what was promoted is lost while another configuration is judged: the one in its place starts, though the
 * configuration that it wants is no longer in Git. `before` are the ReplicaSets from before that change.
 */
export async function stablePodComesBack(app: App, before: KubeObject[]): Promise<void> {
  const [set] = before.filter(({ spec }) => (spec as { replicas: number }).replicas > 0);
  const pods = async () =>
    (await app.pods()).filter(({ metadata }) =>
      metadata.ownerReferences?.some(({ uid }) => uid === set!.metadata.uid),
    );
  const lost = (await pods())[0]!;
  await app.cluster.client.delete(kinds.Pod, app.namespace, lost.metadata.name);
  await eventually(
    'another stable pod is ready in its place',
    async () => {
      const now = await pods();
      return now.length === 3 && now.every((pod) => pod.metadata.uid !== lost.metadata.uid && isReady(pod));
    },
    { describe: () => app.describe() },
  );
}

interface DeploymentLike extends KubeObject {
  spec: {
    replicas: unknown;
    template: {
      metadata: { annotations?: Record<string, string> };
      spec: { containers: Record<string, unknown>[] };
    };
  };
}

/** The Deployment takes its environment from ConfigMap `settings`; everything else stays as it is. */
function withSettings(object: KubeObject): KubeObject {
  if (object.kind !== 'Deployment') return object;
  const deployment = structuredClone(object) as DeploymentLike;
  deployment.spec.template.spec.containers[0]!.envFrom = [{ configMapRef: { name: 'settings' } }];
  return deployment;
}

function charted(object: KubeObject): KubeObject {
  const labels = {
    ...object.metadata.labels,
    'helm.sh/chart': '{{ .Chart.Name }}-{{ .Chart.Version }}',
    'app.kubernetes.io/managed-by': '{{ .Release.Service }}',
  };
  const labelled = { ...object, metadata: { ...object.metadata, labels } };
  if (object.kind !== 'Deployment') return labelled;
  const { spec } = labelled as unknown as DeploymentLike;
  spec.replicas = '{{ .Values.replicas }}';
  spec.template.metadata.annotations = { 'checksum/config': '{{ include "checksum" . }}' };
  return labelled;
}

/** A repository of sources and one of what was made of them, kept in step. */
export class RenderedRepository {
  readonly rendered = new Repository();
  readonly #source = new Repository();
  readonly #app: App;
  readonly #kind: Source;

  constructor(app: App, kind: Source) {
    this.#app = app;
    this.#kind = kind;
  }

  async commit(message: string, version: string, errors?: string): Promise<void> {
    this.#source.commit(message, this.#kind.files(this.#app, version, errors));
    this.rendered.commit(message, { 'web.yaml': await this.#kind.render(this.#app, this.#source.dir) });
  }

  async revert(): Promise<void> {
    this.#source.revert();
    this.rendered.commit('revert', { 'web.yaml': await this.#kind.render(this.#app, this.#source.dir) });
  }

  remove(): void {
    for (const { dir } of [this.rendered, this.#source]) rmSync(dir, { recursive: true, force: true });
  }
}
