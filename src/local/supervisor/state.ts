import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../lib/clock.ts';
import { isAlive, type ProcessIdentity, processesIn, signalGroup, startTimeOf } from '../node/index.ts';

export interface ClusterState {
  prefix: string;
  server: string;
  kubeconfig: string;
  supervisor?: ProcessIdentity;
  components: Record<string, ProcessIdentity>;
}

const stateFile = (dir: string): string => join(dir, 'cluster.json');

/** Where clusters live unless told otherwise: $WEIR_HOME, or ~/.weir/local; each name has a directory of its own. */
export function defaultDir(name = 'default', env: NodeJS.ProcessEnv = process.env): string {
  return join(env.WEIR_HOME ?? join(homedir(), '.weir', 'local'), name);
}

export function readState(dir: string): ClusterState | undefined {
  try {
    return JSON.parse(readFileSync(stateFile(dir), 'utf8')) as ClusterState;
  } catch {
    return undefined;
  }
}

export function writeState(dir: string, state: ClusterState): void {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  writeFileSync(`${stateFile(dir)}.new`, JSON.stringify(state, null, 2), { mode: 0o600 });
  renameSync(`${stateFile(dir)}.new`, stateFile(dir));
}

export function identityOf(pid: number): ProcessIdentity {
  return { pid, startTime: startTimeOf(pid) ?? '' };
}

export function isRunning(dir: string): boolean {
  const supervisor = readState(dir)?.supervisor;
  return supervisor !== undefined && isAlive(supervisor);
}

/** Every process of the cluster in `dir` that still runs, by what was written down when it was started. */
export function leftBehind(dir: string): ProcessIdentity[] {
  const pods = join(dir, 'pods');
  const folders = existsSync(pods) ? readdirSync(pods) : [];
  return [
    ...Object.values(readState(dir)?.components ?? {}).filter(isAlive),
    ...folders.flatMap((folder) => processesIn(join(pods, folder))),
  ];
}

/** Kills what an earlier cluster in this directory left running, however it ended. */
export async function killLeftBehind(dir: string): Promise<void> {
  const left = leftBehind(dir);
  for (const identity of left) {
    signalGroup(identity, 'SIGKILL');
    if (isAlive(identity)) process.kill(identity.pid, 'SIGKILL');
  }
  while (left.some(isAlive)) await systemClock.sleep(5);
}

/** Stops the cluster of another process: its supervisor in order, or what is left of it. */
export async function stopCluster(dir: string, timeoutMs = 15_000): Promise<boolean> {
  const supervisor = readState(dir)?.supervisor;
  const running = supervisor !== undefined && isAlive(supervisor);
  if (supervisor && running) {
    process.kill(supervisor.pid, 'SIGTERM');
    const deadline = Date.now() + timeoutMs;
    while (isAlive(supervisor) && Date.now() < deadline) await systemClock.sleep(20);
    if (isAlive(supervisor)) process.kill(supervisor.pid, 'SIGKILL');
  }
  await killLeftBehind(dir);
  return running;
}

export function removeState(dir: string): void {
  rmSync(dir, { recursive: true, force: true });
}
