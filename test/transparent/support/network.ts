import { execFileSync } from 'node:child_process';
import { deleteNamespace } from '../../kubernetes/support/netns.ts';

const ip = (...args: string[]) => execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });

/** Addresses for benchmarks (RFC 2544) and of nobody's network (RFC 4193). */
export const PODS = ['a', 'b', 'c'] as const;
export type PodName = (typeof PODS)[number];

export interface Addresses {
  ipv4: string;
  ipv6: string;
}

export const nodeAddresses: Addresses = { ipv4: '198.18.77.1', ipv6: 'fd77::1' };
export const podAddresses = (pod: PodName): Addresses => {
  const host = 10 + PODS.indexOf(pod);
  return { ipv4: `198.18.77.${host}`, ipv6: `fd77::${host}` };
};

/** A node and its pods: one namespace each, joined by a bridge in the node's. */
export class Network {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  get node(): string {
    return `${this.name}-node`;
  }

  pod(pod: PodName): string {
    return `${this.name}-${pod}`;
  }

  create(): void {
    const { node } = this;
    ip('netns', 'add', node);
    ip('-n', node, 'link', 'set', 'lo', 'up');
    ip('-n', node, 'link', 'add', 'br0', 'type', 'bridge');
    ip('-n', node, 'link', 'set', 'br0', 'up');
    ip('-n', node, 'addr', 'add', `${nodeAddresses.ipv4}/24`, 'dev', 'br0');
    ip('-n', node, 'addr', 'add', `${nodeAddresses.ipv6}/64`, 'dev', 'br0', 'nodad');
    for (const pod of PODS) {
      const namespace = this.pod(pod);
      const { ipv4, ipv6 } = podAddresses(pod);
      ip('netns', 'add', namespace);
      ip('-n', namespace, 'link', 'set', 'lo', 'up');
      ip(
        '-n',
        node,
        'link',
        'add',
        `veth-${pod}`,
        'type',
        'veth',
        'peer',
        'name',
        'eth0',
        'netns',
        namespace,
      );
      ip('-n', node, 'link', 'set', `veth-${pod}`, 'master', 'br0', 'up');
      ip('-n', namespace, 'addr', 'add', `${ipv4}/24`, 'dev', 'eth0');
      ip('-n', namespace, 'addr', 'add', `${ipv6}/64`, 'dev', 'eth0', 'nodad');
      ip('-n', namespace, 'link', 'set', 'eth0', 'up');
      // The addresses of Services lead nowhere but through a redirect; a connection needs a route to begin.
      ip('-n', namespace, 'route', 'add', 'default', 'via', nodeAddresses.ipv4);
      ip('-n', namespace, '-6', 'route', 'add', 'default', 'via', nodeAddresses.ipv6);
    }
  }

  delete(): void {
    for (const namespace of [...PODS.map((pod) => this.pod(pod)), this.node]) deleteNamespace(namespace);
  }
}
