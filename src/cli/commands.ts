import type { Command } from 'commander';

export interface CommandModule {
  /** Builds the command with its options, examples and action. */
  command(): Command;
}

export interface CommandEntry {
  name: string;
  alias?: string;
  summary: string;
  group: 'Rollouts' | 'Mesh' | 'Installation' | 'Try it' | 'Processes';
  load(): Promise<CommandModule>;
}

/** Every subcommand and the module that is loaded only when it is called. */
export const commands: CommandEntry[] = [
  {
    name: 'rollouts',
    alias: 'ro',
    summary: 'get, watch, promote, pause, abort, retry and explain rollouts',
    group: 'Rollouts',
    load: () => import('./rollouts.ts'),
  },
  {
    name: 'stat',
    summary: 'success rate, requests per second and latency by workload and revision',
    group: 'Mesh',
    load: () => import('./stat.ts'),
  },
  {
    name: 'tap',
    summary: 'requests of a workload as they happen',
    group: 'Mesh',
    load: () => import('./tap.ts'),
  },
  {
    name: 'inject',
    summary: 'add the sidecar to manifests',
    group: 'Mesh',
    load: () => import('./inject.ts'),
  },
  {
    name: 'uninject',
    summary: 'take the sidecar out of manifests',
    group: 'Mesh',
    load: () => import('./uninject.ts'),
  },
  {
    name: 'check',
    summary: 'is this cluster ready for Weir, and is Weir healthy',
    group: 'Installation',
    load: () => import('./check.ts'),
  },
  {
    name: 'install',
    summary: 'print the manifests of the control plane',
    group: 'Installation',
    load: () => import('./install.ts'),
  },
  {
    name: 'uninstall',
    summary: 'print what to delete, in the safe order',
    group: 'Installation',
    load: () => import('./uninstall.ts'),
  },
  {
    name: 'demo',
    summary: 'the whole story on this machine: a commit goes live by itself, a bad one is stopped',
    group: 'Try it',
    load: () => import('./demo.ts'),
  },
  {
    name: 'local',
    summary: 'a Kubernetes-compatible cluster on this machine, without Docker or root',
    group: 'Try it',
    load: () => import('./local.ts'),
  },
  {
    name: 'controller',
    summary: 'run the rollout controller',
    group: 'Processes',
    load: () => import('./controller.ts'),
  },
  {
    name: 'mesh',
    summary: 'run the mesh control plane: discovery, identity, admission',
    group: 'Processes',
    load: () => import('./mesh.ts'),
  },
  {
    name: 'metrics',
    summary: 'run the metrics store (Prometheus HTTP API)',
    group: 'Processes',
    load: () => import('./metrics.ts'),
  },
  { name: 'proxy', summary: 'run the sidecar proxy', group: 'Processes', load: () => import('./proxy.ts') },
  {
    name: 'proxy-init',
    summary: 'send a pod’s traffic through its proxy (iptables rules)',
    group: 'Processes',
    load: () => import('./proxy-init.ts'),
  },
  {
    name: 'gitops',
    summary: 'apply a Git repository to the cluster on every commit',
    group: 'Processes',
    load: () => import('./gitops.ts'),
  },
];
