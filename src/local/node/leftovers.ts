import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../lib/clock.ts';
import { isAlive, type ProcessIdentity, signalGroup } from './process.ts';

/** The processes that a pod's directory says were started for it and that still run. */
export function processesIn(podDir: string): ProcessIdentity[] {
  if (!existsSync(podDir)) return [];
  const found: ProcessIdentity[] = [];
  for (const entry of readdirSync(podDir)) {
    try {
      const saved = JSON.parse(readFileSync(join(podDir, entry, 'state.json'), 'utf8')) as {
        process?: ProcessIdentity;
      };
      if (saved.process && isAlive(saved.process)) found.push(saved.process);
    } catch {
      // Not a container's directory.
    }
  }
  return found;
}

/** Kills what runs of a pod that nobody knows any more. */
export async function killLeftBehind(podDir: string): Promise<void> {
  const left = processesIn(podDir);
  for (const identity of left) signalGroup(identity, 'SIGKILL');
  while (left.some(isAlive)) await systemClock.sleep(5);
}
