/** Which iptables of a machine to use, and calling it. What is run comes in as an argument. */
import { AppError } from '../../lib/errors.ts';
import { type Family, intercepts } from './rules.ts';

/** Ends with the exit code; undefined: there is no such program. */
export type Run = (
  program: string,
  args: string[],
  input?: string,
) => Promise<{ code: number; stdout: string; stderr: string } | undefined>;

export type Variant = 'nft' | 'legacy';

export interface Table {
  family: Family;
  /** `iptables-nft`, `ip6tables-legacy`, or `iptables` where neither has a name of its own. */
  program: string;
  /** Its nat table, as iptables-save prints it. */
  current: string;
}

/** nft first: it is what new kernels have, and without rules there is nothing to agree with. */
const VARIANTS: (Variant | undefined)[] = ['nft', 'legacy', undefined];

/**
 * The tables of one family that work here. The first is the one to write to: `wanted`, else the one that holds rules of
 * ours, else the one that holds anybody's, else the first that works. Throws what to do when there is none to write to.
 */
export async function findTables(run: Run, family: Family, wanted?: Variant): Promise<Table[]> {
  const base = family === 'ipv4' ? 'iptables' : 'ip6tables';
  const found: Table[] = [];
  const failures: string[] = [];
  for (const variant of VARIANTS) {
    // The plain name is one of the other two, where they have names.
    if (variant === undefined && (found.length > 0 || failures.length > 0)) continue;
    const program = variant ? `${base}-${variant}` : base;
    const saved = await run(`${program}-save`, ['-t', 'nat']);
    if (!saved) continue;
    if (saved.code === 0) found.push({ family, program, current: saved.stdout });
    else failures.push(`${program}-save: ${lastLine(saved.stderr)}`);
  }
  const asked = wanted && `${base}-${wanted}`;
  if (found.length === 0 || (asked && !found.some(({ program }) => program === asked)))
    throw explain(asked ?? base, asked ? failures.filter((each) => each.startsWith(asked)) : failures);
  const rank = ({ program, current }: Table) => {
    if (program === asked) return 0;
    return intercepts(current) ? 1 : /^-A /m.test(current) ? 2 : 3;
  };
  return found.sort((a, b) => rank(a) - rank(b));
}

/** Replaces the table's contents in one step: all of it or nothing. */
export async function restore(run: Run, { program }: Table, input: string): Promise<void> {
  const command = `${program}-restore`;
  const args = ['--noflush'];
  // Another process may hold the lock of the legacy tables for a moment; those of nftables have none.
  if (!program.endsWith('-nft')) args.push('--wait', '5');
  const result = await run(command, args, input);
  if (!result) throw explain(program, []);
  if (result.code !== 0) throw explain(program, [`${command}: ${lastLine(result.stderr)}`]);
}

const lastLine = (text: string): string =>
  text
    .trim()
    .split('\n')
    .findLast((line) => !/^(Try|Perhaps)/.test(line)) ?? 'failed without a word';

function explain(base: string, failures: string[]): AppError {
  const said = failures.join('; ');
  if (failures.length === 0)
    return new AppError('NotFound', `there is no ${base}: use Weir's image, or install the package iptables`);
  if (/denied|permitted|must be root|are you root/i.test(said))
    return new AppError(
      'Forbidden',
      `not allowed to change this network (${said}): run as root with the capabilities NET_ADMIN and NET_RAW; where the cluster refuses them, let the namespace have pod-security.kubernetes.io/enforce=privileged`,
    );
  if (/not exist|not supported|No such file|No chain|Could not fetch|Protocol wrong/i.test(said))
    return new AppError(
      'Unavailable',
      `the node's kernel lacks what ${base} needs (${said}): load the modules nf_tables and nft_chain_nat, or iptable_nat${base.startsWith('ip6') ? ' and ip6table_nat; or leave IPv6 out with --no-ipv6' : ''}`,
    );
  return new AppError('Internal', `the rules were not taken: ${said}`);
}
