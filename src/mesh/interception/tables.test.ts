import { expect, test } from '@jest/globals';
import { plain as options } from './fixtures.ts';
import { intercept, removeInterception } from './index.ts';
import { findTables, type Run } from './tables.ts';

const ours = '*nat\n:WEIR_INBOUND - [0:0]\n-A PREROUTING -p tcp -j WEIR_INBOUND\n';

/** A machine: program -> what it prints, or its complaint. Remembers what was restored. */
function machine(tables: Record<string, string | { complaint: string }>) {
  const restored: Record<string, string> = {};
  const run: Run = async (program, _args, input) => {
    const table = tables[program.replace(/-(save|restore)$/, '')];
    if (table === undefined) return undefined;
    if (typeof table !== 'string') return { code: 4, stdout: '', stderr: table.complaint };
    if (input !== undefined) restored[program] = input;
    return { code: 0, stdout: table, stderr: '' };
  };
  return { run, restored };
}

const programs = async (tables: Parameters<typeof machine>[0], wanted?: 'nft' | 'legacy') =>
  (await findTables(machine(tables).run, 'ipv4', wanted)).map(({ program }) => program);

test('rules go where rules of ours are, else where any are, else into nftables', async () => {
  expect(await programs({ 'iptables-nft': '', 'iptables-legacy': '' })).toEqual([
    'iptables-nft',
    'iptables-legacy',
  ]);
  expect(await programs({ 'iptables-nft': '', 'iptables-legacy': '-A OUTPUT -j X' })).toEqual([
    'iptables-legacy',
    'iptables-nft',
  ]);
  expect((await programs({ 'iptables-nft': ours, 'iptables-legacy': '-A OUTPUT -j X' }, undefined))[0]).toBe(
    'iptables-nft',
  );
  expect((await programs({ 'iptables-nft': ours, 'iptables-legacy': '' }, 'legacy'))[0]).toBe(
    'iptables-legacy',
  );
  expect(await programs({ iptables: '' })).toEqual(['iptables']);
});

test('one variant is written, what is left in the other goes; a removal clears both', async () => {
  const { run, restored } = machine({ 'iptables-nft': ours, 'iptables-legacy': ours });
  const lines: string[] = [];
  const target = {
    families: ['ipv4' as const],
    optional: () => false,
    report: (line: string) => lines.push(line),
  };
  await intercept(run, options, { ...target, variant: 'legacy' });
  expect(restored['iptables-nft-restore']).toContain('-X WEIR_INBOUND');
  expect(restored['iptables-legacy-restore']).toContain('--to-ports 4143');
  await removeInterception(run, target);
  expect(restored['iptables-legacy-restore']).toContain('-X WEIR_INBOUND');
  expect(lines.at(-1)).toBe('iptables-legacy: removed');
});

test('what cannot work says what to do', async () => {
  const denied = 'iptables-save v1.8.9 (nf_tables): Permission denied (you must be root)';
  await expect(programs({ 'iptables-nft': { complaint: denied } })).rejects.toThrow(
    /not allowed .*Permission denied.* NET_ADMIN/,
  );
  await expect(programs({})).rejects.toThrow(/there is no iptables: .*install the package iptables/);
  const missing = "can't initialize table `nat': Table does not exist (do you need to insmod?)\nPerhaps …";
  await expect(programs({ 'iptables-legacy': { complaint: missing } })).rejects.toThrow(
    /kernel lacks .*iptable_nat/,
  );
});

test('IPv6 that nothing uses is left out, one that is in use is not', async () => {
  const { run } = machine({ 'iptables-nft': '' });
  const lines: string[] = [];
  const target = (optional: boolean) => ({
    families: ['ipv4' as const, 'ipv6' as const],
    optional: () => optional,
    report: (line: string) => lines.push(line),
  });
  await intercept(run, options, target(true));
  expect(lines[1]).toBe('iptables-nft: outbound -> 4140, inbound -> 4143');
  expect(lines[0]).toMatch(/^ipv6 is left out, nothing here uses it: there is no ip6tables/);
  await expect(intercept(run, options, target(false))).rejects.toThrow(/there is no ip6tables/);
});
