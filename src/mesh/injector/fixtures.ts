import type { InjectOptions } from './options.ts';
import type { EnvVar, PodLike } from './pod.ts';

/** Services that exist. */
const known = new Set(['shop/orders', 'shop/web', 'pay/ments']);
export const options: InjectOptions = {
  namespace: 'shop',
  image: 'weir:1',
  enabled: true,
  isService: (name, namespace) => known.has(`${namespace}/${name}`),
};

/** A pod of one container, with these variables and more fields of its spec. */
export const pod = (env: EnvVar[] = [], extra: Partial<PodLike['spec']> = {}): PodLike => ({
  metadata: { name: 'web-1', labels: { app: 'web' } },
  spec: {
    serviceAccountName: 'web',
    containers: [
      {
        name: 'app',
        image: 'web:1',
        env,
        ports: [{ containerPort: 8080 }],
        readinessProbe: { httpGet: { path: '/ready', port: 8080 } },
      },
    ],
    ...extra,
  },
});

export const app = (injected: PodLike) => injected.spec!.containers![0]!;
const proxy = (injected: PodLike) =>
  [...injected.spec!.containers!, ...(injected.spec!.initContainers ?? [])].find(
    ({ name }) => name === 'weir-proxy',
  )!;
/** The value of a variable of the proxy. */
export const proxyEnv = (injected: PodLike, name: string) =>
  proxy(injected).env!.find((variable) => variable.name === name)?.value;
