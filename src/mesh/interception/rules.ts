/** The nat rules of a pod whose traffic goes through the proxy. Pure: options and what is there -> what to restore. */
import { isIP } from 'node:net';

export type Family = 'ipv4' | 'ipv6';

export interface InterceptOptions {
  /** Connections of this user are the proxy's own and go out untouched. */
  proxyUid: number;
  /** Ports of the proxy. */
  outboundPort: number;
  inboundPort: number;
  adminPort: number;
  /** `80` or `8000-8100`. */
  skipInboundPorts: PortRange[];
  skipOutboundPorts: PortRange[];
  /** CIDRs of either family. */
  skipSubnets: string[];
}

export interface PortRange {
  from: number;
  to: number;
}

const INBOUND = 'WEIR_INBOUND';
const OUTBOUND = 'WEIR_OUTBOUND';
/** Built-in chain -> ours. */
const JUMPS = { PREROUTING: INBOUND, OUTPUT: OUTBOUND } as const;
/** What one multiport match takes; a range counts twice (iptables-extensions(8)). */
const MULTIPORT = 15;

/** The rules of our chains, as iptables-save would print them. */
export function rules(options: InterceptOptions, family: Family): string[] {
  const { proxyUid, outboundPort, inboundPort, adminPort } = options;
  const loopback = family === 'ipv4' ? '127.0.0.0/8' : '::1/128';
  const subnets = options.skipSubnets.filter((each) => familyOf(each) === family);
  return [
    // Scraped and probed as they are; a connection to the proxy's inbound port itself is refused there.
    ...skip(INBOUND, [{ from: adminPort, to: adminPort }, ...options.skipInboundPorts]),
    `-A ${INBOUND} -p tcp -j REDIRECT --to-ports ${inboundPort}`,
    // First: without it the proxy would be its own client for ever.
    `-A ${OUTBOUND} -m owner --uid-owner ${proxyUid} -j RETURN`,
    // Containers of one pod talk over lo, by 127.0.0.1 or by the pod's own address.
    `-A ${OUTBOUND} -o lo -j RETURN`,
    `-A ${OUTBOUND} -d ${loopback} -j RETURN`,
    ...subnets.map((each) => `-A ${OUTBOUND} -d ${each} -j RETURN`),
    ...skip(OUTBOUND, options.skipOutboundPorts),
    `-A ${OUTBOUND} -p tcp -j REDIRECT --to-ports ${outboundPort}`,
  ];
}

function skip(chain: string, ranges: PortRange[]): string[] {
  const lines: string[] = [];
  let ports: string[] = [];
  let used = 0;
  const flush = () => {
    if (ports.length > 0) lines.push(`-A ${chain} -p tcp -m multiport --dports ${ports.join(',')} -j RETURN`);
    ports = [];
    used = 0;
  };
  for (const { from, to } of ranges) {
    const cost = from === to ? 1 : 2;
    if (used + cost > MULTIPORT) flush();
    ports.push(from === to ? String(from) : `${from}:${to}`);
    used += cost;
  }
  flush();
  return lines;
}

/**
 * Input of `iptables-restore --noflush` that makes the nat table hold exactly our rules beside everybody else's,
 * whatever of ours `current` (the output of `iptables-save -t nat`) holds: run twice it changes nothing.
 */
export function restoreInput(options: InterceptOptions, family: Family, current: string): string {
  return [
    '*nat',
    // Naming a chain of our own makes it, or empties it.
    `:${INBOUND} - [0:0]`,
    `:${OUTBOUND} - [0:0]`,
    ...ourJumps(current).map((rule) => rule.replace(/^-A/, '-D')),
    ...rules(options, family),
    ...Object.entries(JUMPS).map(([chain, target]) => `-A ${chain} -p tcp -j ${target}`),
    'COMMIT',
    '',
  ].join('\n');
}

/** Input that leaves nothing of ours; undefined when there is nothing. */
export function removeInput(current: string): string | undefined {
  const chains = [INBOUND, OUTBOUND].filter((chain) => current.includes(`:${chain} `));
  const jumps = ourJumps(current);
  if (chains.length === 0 && jumps.length === 0) return undefined;
  return [
    '*nat',
    ...jumps.map((rule) => rule.replace(/^-A/, '-D')),
    ...chains.map((chain) => `-F ${chain}`),
    ...chains.map((chain) => `-X ${chain}`),
    'COMMIT',
    '',
  ].join('\n');
}

/** Does the table hold anything of ours? */
export const intercepts = (current: string): boolean => removeInput(current) !== undefined;

/** Lines of built-in chains that lead into ours; of each, as often as it is there. */
function ourJumps(current: string): string[] {
  return current
    .split('\n')
    .map((line) => line.trim().replace(/^\[\d+:\d+\] /, ''))
    .filter((line) => new RegExp(`^-A (?!WEIR_).* -[jg] (${INBOUND}|${OUTBOUND})\\b`).test(line));
}

/** Of an address or CIDR; undefined when it is neither. */
export function familyOf(subnet: string): Family | undefined {
  const [address = '', bits, ...rest] = subnet.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return undefined;
  if (bits !== undefined && !(/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128)))
    return undefined;
  return version === 4 ? 'ipv4' : 'ipv6';
}
