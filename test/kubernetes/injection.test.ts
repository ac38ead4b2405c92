import { beforeAll, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { injectManifests } from '../../src/mesh/index.ts';
import { sharedCluster } from '../e2e/support/cluster.ts';
import { type Kubectl, kubectlFor } from './support/kubectl.ts';

interface Named {
  name: string;
  volumeMounts?: object[];
}

let kubectl: Kubectl;

beforeAll(async () => {
  kubectl = kubectlFor(await sharedCluster(), 'default');
});

// Whether rules and proxy work is tried in test/transparent; here, whether an API server takes such a pod as it is meant.
test.each(['native', 'container'] as const)(
  'an intercepted pod is one that the API server takes (%s)',
  async (sidecar) => {
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'intercepted', annotations: { 'config.weir.dev/skip-inbound-ports': '9000' } },
      spec: {
        securityContext: { runAsNonRoot: true, runAsUser: 1000 },
        initContainers: [{ name: 'migrate', image: 'migrate:1' }],
        containers: [
          {
            name: 'app',
            image: 'app:1',
            ports: [{ name: 'redis', containerPort: 6379 }],
            livenessProbe: { tcpSocket: { port: 'redis' } },
          },
        ],
      },
    };
    const { yaml } = injectManifests(JSON.stringify(pod), {
      namespace: 'default',
      image: 'weir:1',
      isService: () => true,
      interception: 'transparent',
      sidecar,
    });
    const injected = parse(yaml);
    const taken = JSON.parse(
      await kubectl(['create', '--dry-run=server', '-o', 'json', '-f', '-'], injected),
    );
    // All that was meant is there, beside what the API server adds to every pod: its token, and where that is mounted.
    for (const list of ['initContainers', 'containers', 'volumes'] as const)
      for (const { volumeMounts = [], ...meant } of injected.spec[list] as Named[]) {
        const found = (taken.spec[list] as Named[]).find(({ name }) => name === meant.name);
        expect(found).toMatchObject(meant);
        for (const mount of volumeMounts) expect(found!.volumeMounts).toContainEqual(mount);
      }
    const order = (spec: { initContainers: Named[] }) => spec.initContainers.map(({ name }) => name);
    expect(order(taken.spec)).toEqual(order(injected.spec));
  },
);
