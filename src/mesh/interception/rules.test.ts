import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { plain } from './fixtures.ts';
import { formatPorts, inPorts, parsePorts, readPorts } from './ports.ts';
import { type InterceptOptions, intercepts, removeInput, restoreInput, rules } from './rules.ts';

/** As much of iptables-restore --noflush and iptables-save as these inputs use. */
function restored(table: Map<string, string[]>, input: string): Map<string, string[]> {
  const next = new Map([...table].map(([chain, list]) => [chain, [...list]]));
  for (const line of input.split('\n')) {
    const [word = '', chain = ''] = line.split(' ');
    if (word.startsWith(':')) next.set(word.slice(1), []);
    else if (word === '-A') next.get(chain)!.push(line);
    else if (word === '-F') next.set(chain, []);
    else if (word === '-X') {
      expect(next.get(chain)).toEqual([]);
      next.delete(chain);
    } else if (word === '-D') {
      const at = next.get(chain)!.indexOf(line.replace('-D', '-A'));
      expect(at).toBeGreaterThanOrEqual(0);
      next.get(chain)!.splice(at, 1);
    }
  }
  return next;
}

const saved = (table: Map<string, string[]>): string =>
  ['*nat', ...[...table.keys()].map((chain) => `:${chain} ACCEPT [0:0]`), ...[...table.values()].flat()].join(
    '\n',
  );

const range = fc
  .tuple(fc.integer({ min: 1, max: 65_535 }), fc.nat(300))
  .map(([from, length]) => ({ from, to: Math.min(65_535, from + length) }));
const options: fc.Arbitrary<InterceptOptions> = fc.record({
  proxyUid: fc.nat(100_000),
  outboundPort: fc.constant(4140),
  inboundPort: fc.constant(4143),
  adminPort: fc.constant(4191),
  skipInboundPorts: fc.array(range, { maxLength: 40 }),
  skipOutboundPorts: fc.array(range, { maxLength: 40 }),
  skipSubnets: fc.constant(['10.0.0.0/8', 'fd00::/8']),
});

describe('rules', () => {
  test('of a pod that skips nothing', () => {
    expect(rules(plain, 'ipv6')).toEqual([
      '-A WEIR_INBOUND -p tcp -m multiport --dports 4191 -j RETURN',
      '-A WEIR_INBOUND -p tcp -j REDIRECT --to-ports 4143',
      '-A WEIR_OUTBOUND -m owner --uid-owner 2102 -j RETURN',
      '-A WEIR_OUTBOUND -o lo -j RETURN',
      '-A WEIR_OUTBOUND -d ::1/128 -j RETURN',
      '-A WEIR_OUTBOUND -d fd00::/8 -j RETURN',
      '-A WEIR_OUTBOUND -p tcp -j REDIRECT --to-ports 4140',
    ]);
    expect(rules(plain, 'ipv4')).toContain('-A WEIR_OUTBOUND -d 10.0.0.0/8 -j RETURN');
  });

  test('every skipped port is in a match, none of which is longer than multiport takes', () => {
    fc.assert(
      fc.property(options, (given) => {
        const lists = rules(given, 'ipv4')
          .filter((line) => line.startsWith('-A WEIR_INBOUND') && line.includes('multiport'))
          .map((line) => /--dports (\S+)/.exec(line)![1]!.split(','));
        for (const list of lists)
          expect(list.reduce((sum, each) => sum + (each.includes(':') ? 2 : 1), 0)).toBeLessThanOrEqual(15);
        const matched = lists.flat().map((each) => each.replace(':', '-'));
        for (const each of given.skipInboundPorts) expect(matched).toContain(formatPorts([each]));
      }),
    );
  });

  test('the same after the second run as after the first; removal leaves what others wrote', () => {
    const foreign = '-A PREROUTING -p tcp -m comment --comment WEIR_INBOUND -j DOCKER';
    fc.assert(
      fc.property(options, options, (before, after) => {
        const empty = new Map([
          ['PREROUTING', [foreign]],
          ['OUTPUT', []],
        ]);
        const first = restored(empty, restoreInput(before, 'ipv4', saved(empty)));
        const second = restored(first, restoreInput(after, 'ipv4', saved(first)));
        expect(second).toEqual(restored(empty, restoreInput(after, 'ipv4', saved(empty))));
        expect(second.get('PREROUTING')).toHaveLength(2);
        const gone = restored(second, removeInput(saved(second))!);
        expect(gone).toEqual(empty);
        expect(intercepts(saved(gone))).toBe(false);
      }),
    );
  });
});

describe('ports', () => {
  test('lists and ranges, sorted and joined; what is wrong is named', () => {
    expect(parsePorts('9100-9200, 25,26 ,9150-9300', 'x')).toEqual([
      { from: 25, to: 26 },
      { from: 9100, to: 9300 },
    ]);
    for (const wrong of ['0', '65536', '80-70', 'http', '1-2-3'])
      expect(() => parsePorts(`25,${wrong}`, '--skip-inbound-ports')).toThrow(
        `--skip-inbound-ports: "${wrong}" is neither a port nor a range`,
      );
    expect(readPorts('25,http,80')).toEqual([
      { from: 25, to: 25 },
      { from: 80, to: 80 },
    ]);
  });

  test('what was formatted reads back, and holds the same ports', () => {
    fc.assert(
      fc.property(fc.array(range, { maxLength: 10 }), fc.integer({ min: 1, max: 65_535 }), (ranges, port) => {
        const parsed = parsePorts(formatPorts(ranges), 'x');
        expect(parsePorts(formatPorts(parsed), 'x')).toEqual(parsed);
        expect(inPorts(parsed, port)).toBe(inPorts(ranges, port));
      }),
    );
  });
});
