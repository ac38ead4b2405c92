import { stringify } from 'yaml';
import type { KubeObject } from '../../api/meta.ts';
import {
  annotations,
  IDENTITY_AUDIENCE,
  labels,
  MESH_SERVICE,
  METRICS_SERVICE,
  ports,
  TRUST_CONFIG_MAP,
  TRUST_DOMAIN,
} from '../../api/names.ts';
import { componentLabels, type InstallOptions } from './options.ts';

interface Component {
  name: 'controller' | 'mesh' | 'metrics';
  args: string[];
  containerPorts: { name: string; containerPort: number }[];
  replicas: number;
  env?: object[];
  volumes?: object[];
  volumeMounts?: object[];
  resources: { cpu: string; memory: string; limit: string };
}

const fromField = (name: string, fieldPath: string) => ({ name, valueFrom: { fieldRef: { fieldPath } } });

function deployment(options: InstallOptions, component: Component): KubeObject {
  const { namespace, image, ha } = options;
  const local = options.profile === 'local';
  const name = `weir-${component.name}`;
  const own = componentLabels(component.name);
  const probe = (path: string, periodSeconds: number, failureThreshold: number) => ({
    httpGet: { path, port: ports.health },
    periodSeconds: local ? 1 : periodSeconds,
    timeoutSeconds: local ? 2 : 3,
    failureThreshold,
  });
  const selector = { 'app.kubernetes.io/name': name };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, namespace, labels: own },
    spec: {
      replicas: component.replicas,
      selector: { matchLabels: selector },
      template: {
        metadata: {
          labels: { ...own, [labels.inject]: 'disabled' },
          annotations: {
            [annotations.scrape]: 'true',
            [annotations.scrapePort]: String(ports.health),
            [annotations.scrapePath]: '/metrics',
          },
        },
        spec: {
          serviceAccountName: name,
          terminationGracePeriodSeconds: local ? 10 : 30,
          securityContext: {
            runAsNonRoot: true,
            runAsUser: 65532,
            runAsGroup: 65532,
            fsGroup: 65532,
            seccompProfile: { type: 'RuntimeDefault' },
          },
          ...(ha && component.replicas > 1
            ? {
                topologySpreadConstraints: [
                  {
                    maxSkew: 1,
                    topologyKey: 'kubernetes.io/hostname',
                    whenUnsatisfiable: 'ScheduleAnyway',
                    labelSelector: { matchLabels: selector },
                  },
                ],
              }
            : {}),
          containers: [
            {
              name: component.name,
              image,
              args: component.args,
              ports: component.containerPorts,
              env: [
                fromField('POD_IP', 'status.podIP'),
                fromField('POD_NAME', 'metadata.name'),
                fromField('POD_NAMESPACE', 'metadata.namespace'),
                ...(component.env ?? []),
              ],
              livenessProbe: { ...probe('/live', 10, local ? 6 : 3), initialDelaySeconds: local ? 10 : 15 },
              readinessProbe: probe('/ready', 5, 2),
              ...(local
                ? {}
                : {
                    resources: {
                      requests: { cpu: component.resources.cpu, memory: component.resources.memory },
                      limits: { memory: component.resources.limit },
                    },
                  }),
              securityContext: {
                allowPrivilegeEscalation: false,
                readOnlyRootFilesystem: true,
                capabilities: { drop: ['ALL'] },
              },
              ...(component.volumeMounts ? { volumeMounts: component.volumeMounts } : {}),
            },
          ],
          ...(component.volumes ? { volumes: component.volumes } : {}),
        },
      },
    },
  };
}

function service(
  { namespace }: InstallOptions,
  component: string,
  name: string,
  servicePorts: [string, number][],
): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace, labels: componentLabels(component) },
    spec: {
      selector: { 'app.kubernetes.io/name': `weir-${component}` },
      ports: servicePorts.map(([portName, port]) => ({ name: portName, port, targetPort: port })),
    },
  };
}

/** Allows one replica away at a time; of a single one it would only block a drain. */
function disruptionBudget({ namespace }: InstallOptions, component: string): KubeObject {
  return {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: `weir-${component}`, namespace, labels: componentLabels(component) },
    spec: {
      maxUnavailable: 1,
      selector: { matchLabels: { 'app.kubernetes.io/name': `weir-${component}` } },
    },
  };
}

/** A Prometheus configuration: the same file drives Weir's store and a Prometheus of your own. */
export function scrapeConfiguration(interval: string): string {
  const meta = '__meta_kubernetes_pod';
  return stringify({
    global: { scrape_interval: interval, scrape_timeout: interval },
    scrape_configs: [
      {
        job_name: 'weir-pods',
        // What a target says of itself stands: a proxy names its own namespace, the controller its Rollouts'.
        honor_labels: true,
        kubernetes_sd_configs: [{ role: 'pod' }],
        relabel_configs: [
          { source_labels: [`${meta}_annotation_prometheus_io_scrape`], action: 'keep', regex: 'true' },
          { source_labels: [`${meta}_phase`], action: 'drop', regex: 'Pending|Succeeded|Failed' },
          // One target a pod, however many ports its containers declare.
          {
            source_labels: [`${meta}_ip`, `${meta}_annotation_prometheus_io_port`],
            separator: ':',
            action: 'replace',
            regex: '(.+):([0-9]+)',
            replacement: '$1:$2',
            target_label: '__address__',
          },
          {
            source_labels: [`${meta}_annotation_prometheus_io_path`],
            action: 'replace',
            regex: '(.+)',
            target_label: '__metrics_path__',
          },
          {
            source_labels: ['__meta_kubernetes_namespace'],
            action: 'replace',
            target_label: 'namespace',
          },
          { source_labels: [`${meta}_name`], action: 'replace', target_label: 'pod' },
          // The application's own metrics become comparable by revision, as {{ canary }} and {{ stable }} name it.
          {
            source_labels: [`${meta}_label_pod_template_hash`],
            action: 'replace',
            regex: '(.+)',
            target_label: 'revision',
          },
        ],
      },
    ],
  });
}

/** Services, configuration and Deployments of the control plane. */
export function workloads(options: InstallOptions): KubeObject[] {
  const { namespace, ha, prometheusUrl } = options;
  const local = options.profile === 'local';
  const replicas = ha ? 3 : 1;
  const ownStore = prometheusUrl === undefined;
  const metricsUrl = prometheusUrl ?? `http://${METRICS_SERVICE}.${namespace}.svc:${ports.metrics}`;
  const health = { name: 'health', containerPort: ports.health };
  const objects: KubeObject[] = [
    service(options, 'mesh', MESH_SERVICE, [
      ['discovery', ports.discovery],
      ['webhook', ports.webhook],
      ['health', ports.health],
    ]),
  ];
  if (ownStore) {
    objects.push(service(options, 'metrics', METRICS_SERVICE, [['http', ports.metrics]]), {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: METRICS_SERVICE, namespace, labels: componentLabels('metrics') },
      data: { 'prometheus.yaml': scrapeConfiguration(local ? '1s' : '5s') },
    });
  }
  if (ha) objects.push(disruptionBudget(options, 'controller'), disruptionBudget(options, 'mesh'));
  objects.push(
    deployment(options, {
      name: 'mesh',
      args: [
        'mesh',
        `--listen=:${ports.discovery}`,
        `--webhook-listen=:${ports.webhook}`,
        `--health-listen=:${ports.health}`,
        ...(options.interception === 'transparent' ? ['--interception=transparent'] : []),
        ...(options.traceOtlp ? [`--trace-otlp=${options.traceOtlp}`] : []),
        ...(options.traceSample ? [`--trace-sample=${options.traceSample}`] : []),
      ],
      containerPorts: [
        { name: 'discovery', containerPort: ports.discovery },
        { name: 'webhook', containerPort: ports.webhook },
        health,
      ],
      env: [{ name: 'WEIR_TRUST_DOMAIN', value: TRUST_DOMAIN }],
      replicas,
      resources: { cpu: '100m', memory: '160Mi', limit: '512Mi' },
    }),
    deployment(options, {
      name: 'controller',
      args: [
        'controller',
        `--prometheus-url=${metricsUrl}`,
        `--mesh-address=https://${MESH_SERVICE}.${namespace}.svc:${ports.discovery}`,
        `--listen=:${ports.health}`,
        ...options.namespaces.map((each) => `--namespace=${each}`),
      ],
      containerPorts: [health],
      env: [
        { name: 'WEIR_TRUST', value: '/var/run/weir/trust/ca.pem' },
        { name: 'WEIR_TOKEN', value: '/var/run/weir/identity/token' },
        { name: 'WEIR_TRUST_DOMAIN', value: TRUST_DOMAIN },
      ],
      // The bundle is written by `weir mesh`: until it has, this pod waits for its volume.
      volumes: [
        {
          name: 'weir-trust',
          configMap: { name: TRUST_CONFIG_MAP, items: [{ key: 'ca.pem', path: 'ca.pem' }] },
        },
        {
          name: 'weir-identity',
          projected: {
            sources: [
              {
                serviceAccountToken: {
                  audience: IDENTITY_AUDIENCE,
                  expirationSeconds: 86_400,
                  path: 'token',
                },
              },
            ],
          },
        },
      ],
      volumeMounts: [
        { name: 'weir-trust', mountPath: '/var/run/weir/trust', readOnly: true },
        { name: 'weir-identity', mountPath: '/var/run/weir/identity', readOnly: true },
      ],
      replicas,
      resources: { cpu: '100m', memory: '160Mi', limit: '512Mi' },
    }),
  );
  if (ownStore) {
    objects.push(
      deployment(options, {
        name: 'metrics',
        args: ['metrics', '--config=/etc/weir/prometheus.yaml', `--listen=:${ports.metrics}`],
        containerPorts: [{ name: 'http', containerPort: ports.metrics }],
        volumes: [{ name: 'config', configMap: { name: METRICS_SERVICE } }],
        volumeMounts: [{ name: 'config', mountPath: '/etc/weir', readOnly: true }],
        // What is measured lives in its memory: a second replica would be a second truth.
        replicas: 1,
        resources: { cpu: '100m', memory: '256Mi', limit: '1Gi' },
      }),
    );
  }
  return objects;
}
