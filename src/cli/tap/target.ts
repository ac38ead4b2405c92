import type { KubeObject } from '../../api/meta.ts';
import { annotations } from '../../api/names.ts';
import { AppError } from '../../lib/errors.ts';
import { deploymentOf } from '../stat/rows.ts';

export interface Target {
  kind: 'deploy' | 'pod';
  name: string;
}

const KINDS: Record<string, Target['kind']> = {
  deploy: 'deploy',
  deployment: 'deploy',
  deployments: 'deploy',
  po: 'pod',
  pod: 'pod',
  pods: 'pod',
};

/** `deploy/web`, `pod/web-1`; a name alone is a pod's, as with kubectl. */
export function parseTarget(text: string): Target {
  const [kind, name, ...more] = text.includes('/') ? text.split('/') : ['pod', text];
  const known = KINDS[kind!];
  if (!known || !name || more.length > 0)
    throw new AppError('Invalid', `${text}: write deploy/NAME or pod/NAME`);
  return { kind: known, name };
}

export interface Tapped {
  pod: string;
  ip: string;
  adminPort: number;
}

interface PodStatus {
  phase?: string;
  podIP?: string;
}
interface PodSpec {
  containers?: { name: string; ports?: { name?: string; containerPort: number }[] }[];
  initContainers?: { name: string; ports?: { name?: string; containerPort: number }[] }[];
}

const ADMIN_PORT_NAME = 'weir-admin';

const isOf = (target: Target, pod: KubeObject): boolean =>
  target.kind === 'pod' ? pod.metadata.name === target.name : deploymentOf(pod) === target.name;

const isMeshed = ({ metadata }: KubeObject): boolean =>
  metadata.annotations?.[annotations.injected] !== undefined;

/** The proxy of a pod, if that is of the target and it runs. */
export function runningProxy(target: Target, pod: KubeObject): Tapped | undefined {
  if (!isOf(target, pod) || !isMeshed(pod)) return undefined;
  const { phase, podIP } = (pod.status ?? {}) as PodStatus;
  const { containers = [], initContainers = [] } = (pod.spec ?? {}) as PodSpec;
  const port = [...containers, ...initContainers]
    .flatMap(({ ports = [] }) => ports)
    .find(({ name }) => name === ADMIN_PORT_NAME)?.containerPort;
  return phase === 'Running' && podIP && port !== undefined
    ? { pod: pod.metadata.name, ip: podIP, adminPort: port }
    : undefined;
}

/** The running proxies of a target, by name of their pods. */
export function proxiesOf(target: Target, namespace: string, pods: readonly KubeObject[]): Tapped[] {
  const own = pods.filter((pod) => isOf(target, pod));
  const what = `${target.kind} ${target.name} in namespace ${namespace}`;
  if (own.length === 0)
    throw new AppError('NotFound', `there is no pod of ${what}: check the name and -n NAMESPACE`);
  if (!own.some(isMeshed))
    throw new AppError(
      'NotFound',
      `no pod of ${what} has the sidecar: label the namespace weir.dev/inject=enabled and restart it`,
    );
  const running = own.flatMap((pod) => runningProxy(target, pod) ?? []);
  if (running.length === 0)
    throw new AppError('Unavailable', `no pod of ${what} is running: see kubectl get pods -n ${namespace}`);
  return running.sort((a, b) => (a.pod < b.pod ? -1 : 1));
}
