import { spawn } from 'node:child_process';
import { networkInterfaces } from 'node:os';
import { text } from 'node:stream/consumers';
import { Command, InvalidArgumentError, Option } from 'commander';
import { PROXY_UID, ports } from '../api/names.ts';
import { AppError } from '../lib/errors.ts';
import {
  type Family,
  familyOf,
  type InterceptOptions,
  intercept,
  parsePorts,
  type Run,
  removeInterception,
  restoreInput,
  type Variant,
} from '../mesh/interception/index.ts';
import { given } from './given.ts';

interface Flags {
  proxyUid: number;
  outboundPort: number;
  inboundPort: number;
  adminPort: number;
  skipInboundPorts: string;
  skipOutboundPorts: string;
  skipSubnets: string;
  iptables: Variant | 'auto';
  ipv6: boolean;
  print?: boolean;
  dryRun?: boolean;
  remove?: boolean;
}

export function command(): Command {
  return new Command('proxy-init')
    .summary('send a pod’s traffic through its proxy (iptables rules)')
    .description(
      'Writes nat rules of IPv4 and IPv6 into this network namespace: what arrives goes to the proxy’s inbound port, what leaves to its outbound port, but for the proxy’s own connections, loopback and what is skipped. Run again, it makes the same rules. The injector puts it into pods as an init container; it needs root, NET_ADMIN and NET_RAW.',
    )
    .option(
      '--proxy-uid <uid>',
      'user of the proxy, whose connections go out untouched',
      integer(0),
      PROXY_UID,
    )
    .option('--outbound-port <port>', 'of the proxy', integer(1), ports.outbound)
    .option('--inbound-port <port>', 'of the proxy', integer(1), ports.inbound)
    .option('--admin-port <port>', 'of the proxy; never intercepted', integer(1), ports.admin)
    .option('--skip-inbound-ports <ports>', 'reach the application directly, e.g. 9000,9100-9200', '')
    .option('--skip-outbound-ports <ports>', 'of servers outside, left alone', '')
    .option('--skip-subnets <cidrs>', 'of servers outside, left alone, e.g. 10.0.0.0/8,fd00::/8', '')
    .addOption(
      new Option('--iptables <variant>', 'auto: the one with rules of ours, else with any, else nft')
        .choices(['auto', 'nft', 'legacy'])
        .default('auto'),
    )
    .option('--no-ipv6', 'write rules for IPv4 alone')
    .option('--remove', 'take the rules away again')
    .option('--print', 'print what iptables-restore would be given for an empty table, and change nothing')
    .addOption(new Option('--dry-run', 'the same as --print').hideHelp())
    .addHelpText(
      'after',
      '\nExamples:\n  weir proxy-init --print                            what it would do\n  weir proxy-init --skip-inbound-ports 9000          in a pod\n  ip netns exec pod weir proxy-init --remove         in a network namespace, from outside',
    )
    .action(run);
}

async function run(flags: Flags): Promise<void> {
  const options = await given(() => interceptOptions(flags));
  const families: Family[] = flags.ipv6 ? ['ipv4', 'ipv6'] : ['ipv4'];
  if (flags.print || flags.dryRun) {
    for (const family of families)
      process.stdout.write(
        `# ${family === 'ipv4' ? 'iptables' : 'ip6tables'}-restore --noflush\n${restoreInput(options, family, '')}`,
      );
    return;
  }
  const target = {
    families,
    ...(flags.iptables === 'auto' ? {} : { variant: flags.iptables }),
    // IPv6 that no interface but lo has cannot be missed.
    optional: (family: Family) => family === 'ipv6' && !hasIpv6(),
    report: (line: string) => void process.stderr.write(`${line}\n`),
  };
  if (flags.remove) await removeInterception(execute, target);
  else await intercept(execute, options, target);
}

export function interceptOptions(flags: Omit<Flags, 'iptables' | 'ipv6'>): InterceptOptions {
  const skipSubnets = flags.skipSubnets
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '');
  for (const each of skipSubnets)
    if (familyOf(each) === undefined)
      throw new AppError('Invalid', `--skip-subnets: "${each}" is no CIDR: write e.g. 10.0.0.0/8,fd00::/8`);
  const { proxyUid, outboundPort, inboundPort, adminPort } = flags;
  if (new Set([outboundPort, inboundPort, adminPort]).size < 3)
    throw new AppError('Invalid', '--outbound-port, --inbound-port and --admin-port must differ');
  return {
    proxyUid,
    outboundPort,
    inboundPort,
    adminPort,
    skipInboundPorts: parsePorts(flags.skipInboundPorts, '--skip-inbound-ports'),
    skipOutboundPorts: parsePorts(flags.skipOutboundPorts, '--skip-outbound-ports'),
    skipSubnets,
  };
}

function integer(least: number) {
  return (value: string): number => {
    const number = Number(value);
    const most = least === 0 ? 2 ** 32 - 2 : 65_535;
    if (!Number.isInteger(number) || number < least || number > most)
      throw new InvalidArgumentError(`Write a number from ${least} to ${most}.`);
    return number;
  };
}

const hasIpv6 = (): boolean =>
  Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(({ family, internal }) => family === 'IPv6' && !internal),
  );

const execute: Run = async (program, args, input) => {
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    // Found too where an ordinary user's PATH does not look.
    env: { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' },
  });
  const exit = new Promise<number | undefined>((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'ENOENT' || error.code === 'EACCES' ? resolve(undefined) : reject(error),
    );
    child.once('exit', (code) => resolve(code ?? 1));
  });
  // A program that fails at once does not read its input.
  child.stdin.on('error', () => {});
  child.stdin.end(input ?? '');
  const [code, stdout, stderr] = await Promise.all([exit, text(child.stdout), text(child.stderr)]);
  return code === undefined ? undefined : { code, stdout, stderr };
};
