/** Sends a pod's traffic through its proxy by iptables rules, and takes them away again. */
import { AppError } from '../../lib/errors.ts';
import { type Family, type InterceptOptions, removeInput, restoreInput } from './rules.ts';
import { findTables, type Run, restore, type Table, type Variant } from './tables.ts';

export { parsePorts } from './ports.ts';
export { type Family, familyOf, type InterceptOptions, restoreInput } from './rules.ts';
export type { Run, Variant } from './tables.ts';

export interface Target {
  families: Family[];
  variant?: Variant;
  /** A family that does not work here and that nothing uses is left out, saying why. */
  optional: (family: Family) => boolean;
  report: (line: string) => void;
}

/** Writes the rules of each family: in one step, the same however often. */
export async function intercept(run: Run, options: InterceptOptions, target: Target): Promise<void> {
  for (const [table, ...others] of await tablesOf(run, target)) {
    // Rules left by an earlier run with the other variant would catch the same packets twice.
    for (const other of others) await clear(run, other);
    await restore(run, table, restoreInput(options, table.family, table.current));
    target.report(`${table.program}: outbound -> ${options.outboundPort}, inbound -> ${options.inboundPort}`);
  }
}

/** Leaves nothing of ours, in whichever tables there are. */
export async function removeInterception(run: Run, target: Target): Promise<void> {
  for (const tables of await tablesOf(run, target))
    for (const table of tables)
      target.report(`${table.program}: ${(await clear(run, table)) ? 'removed' : 'nothing to remove'}`);
}

async function clear(run: Run, table: Table): Promise<boolean> {
  const input = removeInput(table.current);
  if (input !== undefined) await restore(run, table, input);
  return input !== undefined;
}

async function tablesOf(run: Run, target: Target): Promise<[Table, ...Table[]][]> {
  const all: [Table, ...Table[]][] = [];
  for (const family of target.families) {
    try {
      all.push((await findTables(run, family, target.variant)) as [Table, ...Table[]]);
    } catch (thrown) {
      if (!target.optional(family) || !(thrown instanceof AppError)) throw thrown;
      target.report(`${family} is left out, nothing here uses it: ${thrown.message}`);
    }
  }
  return all;
}
