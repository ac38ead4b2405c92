// The tests of interception: real rules, real proxies, in network namespaces that go when this ends. Needs root.
import { spawnSync } from 'node:child_process';
import { runInside } from '../kubernetes/support/netns.ts';
import { skipped } from '../support/skipped.ts';
import { Network } from './support/network.ts';

const JEST = [
  '--experimental-vm-modules',
  '--disable-warning=ExperimentalWarning',
  'node_modules/jest/bin/jest.js',
];

function whyNot(): string | undefined {
  if (process.platform !== 'linux') return `they need Linux, this is ${process.platform}`;
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  for (const program of ['ip', 'iptables', 'ip6tables', 'setpriv', 'curl'])
    if (spawnSync(program, ['--version']).error && spawnSync(program, ['-V']).error)
      return `there is no ${program}: apt-get install iproute2 iptables util-linux curl`;
  return undefined;
}

async function main(rest: string[]): Promise<number> {
  const why = whyNot();
  if (why !== undefined) {
    skipped(`the tests of interception do not run here: ${why}`);
    return 0;
  }
  const network = new Network(`weir-${process.pid}`);
  try {
    network.create();
    // Last, because it takes every word that follows for a project.
    const args = [...JEST, ...rest, '--selectProjects', 'transparent'];
    const env = { ...process.env, WEIR_TRANSPARENT: network.name };
    return (await runInside(network.node, process.execPath, args, { env })).code;
  } finally {
    network.delete();
  }
}

process.exitCode = await main(process.argv.slice(2));
