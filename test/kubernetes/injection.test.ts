import { beforeAll, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { injectManifests } from '../../src/mesh/index.ts';
import { sharedCluster } from '../e2e/support/cluster.ts';
import { type Kubectl, kubectlFor } from './support/kubectl.ts';

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
    // Nothing that was meant has been dropped as an unknown field.
    for (const list of ['initContainers', 'containers', 'volumes'] as const)
      expect(taken.spec[list]).toMatchObject(injected.spec[list]);
  },
);
