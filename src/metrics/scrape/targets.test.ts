import { describe, expect, test } from '@jest/globals';
import { toRecord } from '../labels.ts';
import { parseConfig } from './config.ts';
import { type Pod, podTargets } from './pods.ts';
import { staticTargets, targetResolver } from './targets.ts';

const config = (yaml: string) => parseConfig(yaml).scrapeConfigs[0]!;

const PODS = `
global: {scrape_interval: 1s}
scrape_configs:
- job_name: pods
  honor_labels: true
  kubernetes_sd_configs: [{role: pod}]
  relabel_configs:
  - {source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape], action: keep, regex: "true"}
  - {source_labels: [__meta_kubernetes_pod_phase], action: drop, regex: Pending|Failed}
  - {source_labels: [__meta_kubernetes_pod_ip, __meta_kubernetes_pod_annotation_prometheus_io_port], separator: ":", target_label: __address__}
  - {source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_path], regex: (.+), target_label: __metrics_path__}
  - {action: labelmap, regex: __meta_kubernetes_pod_label_(.+)}
  - {action: labeldrop, regex: secret.*}
  - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
  - {source_labels: [__meta_kubernetes_pod_name], target_label: shard, modulus: 4, action: hashmod}
`;

const pod: Pod = {
  metadata: {
    name: 'web-1',
    namespace: 'shop',
    labels: { app: 'web', 'weir.dev/role': 'canary', secret_x: 'y' },
    annotations: { 'prometheus.io/scrape': 'true', 'prometheus.io/port': '4191', 'prometheus.io/path': '/m' },
  },
  spec: {
    containers: [{ name: 'app', ports: [{ containerPort: 80 }, { containerPort: 81 }] }, { name: 'proxy' }],
  },
  status: { podIP: '127.42.0.7', phase: 'Running' },
};

describe('targets', () => {
  test('a pod becomes one target, however many ports it declares', () => {
    const targets = targetResolver(config(PODS))(podTargets(pod));
    expect(targets.map(({ url, interval, labels }) => ({ url, interval, labels: toRecord(labels) }))).toEqual(
      [
        {
          url: 'http://127.42.0.7:4191/m',
          interval: 1000,
          labels: {
            app: 'web',
            instance: '127.42.0.7:4191',
            job: 'pods',
            namespace: 'shop',
            shard: '0',
            weir_dev_role: 'canary',
          },
        },
      ],
    );
  });

  test('pods without an address, or that a rule drops, are none', () => {
    expect(podTargets({ ...pod, status: {} })).toEqual([]);
    const waiting = { ...pod, status: { podIP: '127.42.0.7', phase: 'Pending' } };
    expect(targetResolver(config(PODS))(podTargets(waiting))).toEqual([]);
  });

  test('static targets get scheme, port, path and parameters', () => {
    const entry = config(
      'scrape_configs: [{job_name: a, scheme: https, params: {x: [a b, c]}, static_configs: [{targets: [h, "[::1]:1"], labels: {zone: z}}]}]',
    );
    expect(targetResolver(entry)(staticTargets(entry)).map(({ url }) => url)).toEqual([
      'https://h:443/metrics?x=c&x=a+b',
      'https://[::1]:1/metrics?x=c&x=a+b',
    ]);
  });
});

describe('configuration', () => {
  test.each([
    ['global: {scrape_interval: soon}', 'global.scrape_interval: "soon" is not a duration'],
    ['scrape_configs: [{}]', 'scrape_configs[0].job_name'],
    [
      'scrape_configs: [{job_name: a, scrap: 1}]',
      'scrape_configs[0]: unknown field "scrap": the fields here are job_name, ',
    ],
    ['scrape_configs: [{job_name: a}, {job_name: a}]', 'scrape_configs[1].job_name: "a" is used twice'],
    ['scrape_configs: [{job_name: a, scrape_interval: 1s, scrape_timeout: 2s}]', 'scrape_timeout'],
    [
      'scrape_configs: [{job_name: a, relabel_configs: [{regex: "("}]}]',
      'scrape_configs[0].relabel_configs[0].regex',
    ],
    ['scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: node}]}]', 'only the role "pod"'],
    ['a: [', 'not YAML'],
  ])('%s is refused by name', (yaml, message) => {
    expect(() => parseConfig(yaml)).toThrow(message);
  });

  test('what only a full Prometheus does is accepted and named', () => {
    expect(parseConfig('{rule_files: [a], alerting: {}}').ignored).toEqual(['rule_files', 'alerting']);
  });
});
