import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Processes (other than this one) whose command line or environment names the demo's directory. Linux only. */
export function processesOf(directory: string): number[] {
  const found: number[] = [];
  for (const entry of list('/proc')) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    if (`${read(`/proc/${entry}/cmdline`)}\0${read(`/proc/${entry}/environ`)}`.includes(directory)) {
      found.push(Number(entry));
    }
  }
  return found;
}

/** `address:port` of every TCP socket these processes listen on. */
export function listenersOf(pids: number[]): Set<string> {
  const inodes = new Set<string>();
  for (const pid of pids) {
    for (const fd of list(`/proc/${pid}/fd`)) {
      try {
        const [, inode] = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? [];
        if (inode) inodes.add(inode);
      } catch {
        // Closed in between.
      }
    }
  }
  const found = new Set<string>();
  for (const { address, inode } of sockets()) if (inodes.has(inode)) found.add(address);
  return found;
}

/** Which of these addresses somebody still listens on. */
export function stillOpen(addresses: Set<string>): string[] {
  return sockets()
    .map(({ address }) => address)
    .filter((address) => addresses.has(address));
}

function sockets(): { address: string; inode: string }[] {
  return ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) =>
    read(table)
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      // 0A is LISTEN.
      .filter((fields) => fields[3] === '0A')
      .map((fields) => ({ address: fields[1] ?? '', inode: fields[9] ?? '' })),
  );
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
