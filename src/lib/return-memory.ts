/** Gives back memory that the process holds and does not need: what the heap has freed, and pages of programs. */
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type Koffi, loadKoffi } from './koffi.ts';

const MADV_DONTNEED = 4;

/**
 * The mappings of /proc/self/smaps whose pages the kernel can read again from their file at any time: private, of a file,
 * not writable, and none of them changed. Pure.
 */
export function rereadable(smaps: string): { address: number; size: number }[] {
  const found: { address: number; size: number }[] = [];
  // Each begins with its line of /proc/self/maps; fields of the kernel's accounting follow.
  for (const entry of smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) r-[x-]p \S+ \S+ [1-9]\d*\s+\//.exec(entry);
    if (!head || !/^Anonymous:\s+0 kB$/m.test(entry)) continue;
    const address = Number.parseInt(head[1]!, 16);
    found.push({ address, size: Number.parseInt(head[2]!, 16) - address });
  }
  return found;
}

let calls:
  | { trim(keep: number): number; advise(address: number, size: number, advice: number): number }
  | undefined;

function bind(koffi: Koffi) {
  const library = koffi.load(null);
  return {
    trim: library.func('int malloc_trim(size_t)'),
    advise: library.func('int madvise(uint64_t, size_t, int)'),
  } as unknown as NonNullable<typeof calls>;
}

let collector: NodeJS.GCFunction | undefined;

/** Asked for here and not on the command line: code that node keeps compiled is of no use to a process with that flag. */
function collect(): NodeJS.GCFunction {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as NodeJS.GCFunction;
  setFlagsFromString('--no-expose-gc');
  return gc;
}

/** Garbage collections after which V8 takes functions for old that were not called, and discards their bytecode. */
const OLD_AGE = 6;

/**
 * Collects all garbage, and on Linux takes pages of programs out of this process: of what
 * starting up has run, little is run again, and what is comes back with the first touch. It blocks: for when
 * nobody waits. `fresh`: it has just started, and what it has compiled for that goes too; afterwards it is what
 * requests need.
 */
export function returnMemory(fresh: boolean): void {
  collector ??= collect();
  if (fresh) setFlagsFromString('--bytecode-old-age=1');
  collector({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  if (fresh) setFlagsFromString(`--bytecode-old-age=${OLD_AGE}`);
  const koffi = loadKoffi();
  if ('reason' in koffi) return;
  try {
    calls ??= bind(koffi);
    calls.trim(0);
    for (const { address, size } of rereadable(readFileSync('/proc/self/smaps', 'latin1')))
      calls.advise(address, size, MADV_DONTNEED);
  } catch {
    // Another C library, or no /proc: then it stays as it is.
  }
}
