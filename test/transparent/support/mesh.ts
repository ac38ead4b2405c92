import type { ChildProcess } from 'node:child_process';
import type { KubeObject } from '../../../src/api/meta.ts';
import { FakeApi } from '../../../src/mesh/fake-api.ts';
import { nodeAddresses, type PodName, podAddresses } from './network.ts';
import { injected, type Processes, until } from './pods.ts';

const CORE = '/api/v1';
const SLICES = '/apis/discovery.k8s.io/v1/endpointslices';

/** Ports of the application: name -> [port of the Service, port of the pod]. */
const PORTS: Record<string, [number, number]> = {
  http: [80, 8080],
  mail: [2525, 2525],
  upload: [7777, 7777],
  https: [443, 8443],
  skipped: [9000, 9000],
};

/** `weir mesh` on the node, with the API it reads. */
export class Mesh {
  readonly api = new FakeApi();
  readonly #processes: Processes;
  #child: ChildProcess | undefined;

  constructor(processes: Processes) {
    this.#processes = processes;
  }

  async start(): Promise<void> {
    await this.api.start();
    this.api.set(`${CORE}/namespaces`, {
      metadata: { name: 'shop', labels: { 'weir.dev/inject': 'enabled' } },
    });
    await this.run();
  }

  async run(): Promise<void> {
    const listen = ['--listen', `${nodeAddresses.ipv4}:8443`];
    const health = '127.0.0.1:9090';
    this.#child = this.#processes.start(process.execPath, [
      'bin/weir.js',
      'mesh',
      ...listen,
      '--webhook-listen=127.0.0.1:9443',
      `--health-listen=${health}`,
      '--proxy-image=weir:1',
      '--kubeconfig',
      this.api.kubeconfig,
    ]);
    await until('weir mesh ready', async () => (await fetch(`http://${health}/ready`)).ok);
  }

  async kill(): Promise<void> {
    await this.#processes.end(this.#child!);
  }

  get trust(): string {
    const bundle = this.api.get(`${CORE}/configmaps`, 'weir/weir-trust') as
      | { data?: Record<string, string> }
      | undefined;
    return bundle?.data?.['ca.pem'] ?? '';
  }

  /** A pod of ServiceAccount `name`; with annotations for the injector, one that it has changed. */
  pod(name: PodName, annotations?: Record<string, string>): void {
    this.api.tokens.set(name, {
      username: `system:serviceaccount:shop:${name}`,
      audiences: ['weir-identity'],
    });
    const { ipv4, ipv6 } = podAddresses(name);
    this.api.set(`${CORE}/pods`, {
      metadata: {
        name,
        namespace: 'shop',
        labels: { app: name },
        annotations: annotations ? injected(name, annotations).metadata!.annotations! : {},
      },
      spec: { serviceAccountName: name },
      status: {
        phase: 'Running',
        podIP: ipv4,
        podIPs: [{ ip: ipv4 }, { ip: ipv6 }],
        conditions: [{ type: 'Ready', status: 'True' }],
      },
    } as KubeObject);
  }

  /** A Service in front of these pods. */
  service(name: string, clusterIPs: string[], pods: PodName[]): void {
    this.api.set(`${CORE}/services`, {
      metadata: { name, namespace: 'shop' },
      spec: {
        ...(clusterIPs.length > 0 ? { clusterIP: clusterIPs[0], clusterIPs } : {}),
        selector: { app: name },
        ports: Object.entries(PORTS).map(([port, [own, target]]) => ({
          name: port,
          port: own,
          targetPort: target,
        })),
      },
    } as KubeObject);
    this.endpoints(name, pods);
  }

  split(service: string, weights: Record<string, number>): void {
    this.api.set('/apis/split.smi-spec.io/v1alpha4/trafficsplits', {
      metadata: { name: service, namespace: 'shop' },
      spec: {
        service,
        backends: Object.entries(weights).map(([name, weight]) => ({ service: name, weight })),
      },
    } as KubeObject);
  }

  endpoints(name: string, pods: PodName[]): void {
    for (const [family, addressType] of [
      ['ipv4', 'IPv4'],
      ['ipv6', 'IPv6'],
    ] as const)
      this.api.set(SLICES, {
        metadata: {
          name: `${name}-${family}`,
          namespace: 'shop',
          labels: { 'kubernetes.io/service-name': name },
        },
        addressType,
        ports: Object.entries(PORTS).map(([port, [, target]]) => ({ name: port, port: target })),
        endpoints: pods.map((pod) => ({
          addresses: [podAddresses(pod)[family]],
          conditions: { ready: true },
          targetRef: { kind: 'Pod', name: pod, namespace: 'shop' },
        })),
      } as KubeObject);
  }
}
