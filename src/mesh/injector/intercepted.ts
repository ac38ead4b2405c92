import { annotations, PROXY_UID, ports } from '../../api/names.ts';
import { formatPorts, readPorts } from '../interception/ports.ts';
import { familyOf } from '../interception/rules.ts';
import type { ResolvedInjectOptions } from './options.ts';
import { type Container, declaredPorts, INIT_CONTAINER, type PodLike, RUN_VOLUME } from './pod.ts';
import { redirectProbes } from './probes.ts';
import { imageOf, setting, type Wiring } from './sidecar.ts';
import type { Undo } from './undo.ts';

/** What one way of interception adds to a pod. */
export interface Wired {
  wiring: Wiring;
  init: Container[];
  volumes: { name: string; [field: string]: unknown }[];
  annotations: Record<string, string>;
}

/** Servers here may speak first: no time is spent on detecting what they speak. */
const OPAQUE_PORTS = '25,587,3306,4444,5432,6379,9300,11211';

/** Transparent interception: rules for the pod's network, and one listener of the proxy each way. */
export function intercepted(pod: PodLike, options: ResolvedInjectOptions, undo: Undo): Wired {
  const taken = new Set(declaredPorts(pod));
  const port = (name: string, preferred: number): number => {
    let number = readPorts(setting(pod, name))[0]?.from ?? preferred;
    while (taken.has(number)) number += 1;
    taken.add(number);
    return number;
  };
  const outbound = port('proxy-outbound-port', ports.outbound);
  const inbound = port('proxy-inbound-port', ports.inbound);
  const admin = port('proxy-admin-port', ports.admin);
  const uid = proxyUser(pod);
  // Of init containers only native sidecars have probes; where those are up before the proxy, nobody could answer theirs.
  const probed = options.sidecar === 'native' ? (pod.spec?.initContainers ?? []) : [];
  for (const container of [...(pod.spec?.containers ?? []), ...probed]) {
    const replaced = redirectProbes(container, admin);
    if (replaced) undo.probes = { ...undo.probes, [container.name]: replaced };
  }
  const skipped = readPorts(setting(pod, 'skip-inbound-ports'));
  const flags: [string, string | number][] = [
    ['proxy-uid', uid],
    ['outbound-port', outbound],
    ['inbound-port', inbound],
    ['admin-port', admin],
    ['skip-inbound-ports', formatPorts(skipped)],
    ['skip-outbound-ports', formatPorts(readPorts(setting(pod, 'skip-outbound-ports')))],
    ['skip-subnets', subnets(setting(pod, 'skip-subnets'))],
  ];
  const opaque = readPorts(setting(pod, 'opaque-ports') ?? OPAQUE_PORTS);
  return {
    wiring: {
      env: [{ name: 'WEIR_INTERCEPT', value: JSON.stringify({ outbound, inbound, uid, opaque }) }],
      ports: [{ name: 'weir-mesh', containerPort: inbound }],
      user: uid,
      admin,
      more:
        options.sidecar === 'native'
          ? // The application starts when its connections have somewhere to go.
            {
              startupProbe: {
                httpGet: { path: '/started', port: admin },
                periodSeconds: 1,
                failureThreshold: 120,
              },
            }
          : {},
    },
    init: [
      {
        name: INIT_CONTAINER,
        image: imageOf(pod, options),
        args: [
          'proxy-init',
          ...flags.filter(([, value]) => value !== '').map(([name, value]) => `--${name}=${value}`),
        ],
        resources: { requests: { cpu: '10m', memory: '64Mi' }, limits: { memory: '128Mi' } },
        // The one container that may touch the pod's network, and no longer than it takes.
        securityContext: {
          allowPrivilegeEscalation: false,
          capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'NET_RAW'] },
          readOnlyRootFilesystem: true,
          runAsNonRoot: false,
          runAsUser: 0,
          runAsGroup: 0,
          seccompProfile: { type: 'RuntimeDefault' },
        },
        volumeMounts: [{ name: RUN_VOLUME, mountPath: '/run' }],
      },
    ],
    volumes: [{ name: RUN_VOLUME, emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } }],
    annotations: {
      [annotations.notIntercepted]: formatPorts([{ from: admin, to: admin }, ...skipped]),
    },
  };
}

/** A user that no container of the pod runs as: whoever is that user is not intercepted. */
function proxyUser({ metadata, spec }: PodLike): number {
  const wanted = Number(metadata?.annotations?.[`${annotations.configPrefix}proxy-uid`]);
  const users = [
    spec?.securityContext,
    ...[...(spec?.containers ?? []), ...(spec?.initContainers ?? [])].map(
      ({ securityContext }) => securityContext,
    ),
  ].map((each) => each?.runAsUser);
  let uid = Number.isInteger(wanted) && wanted > 0 ? wanted : PROXY_UID;
  while (users.includes(uid)) uid += 1;
  return uid;
}

const subnets = (text = ''): string =>
  text
    .split(',')
    .map((each) => each.trim())
    .filter((each) => familyOf(each) !== undefined)
    .join(',');
