import {
  closeSync,
  existsSync,
  fsync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { KubeObject } from '../../../api/meta.ts';

/** One durable fact: the object stored under a key at a revision, or that it is gone (`null`). */
export interface Entry {
  revision: number;
  key: string;
  object: KubeObject | null;
}

export interface Journal {
  append(line: string): void;
  /** Replaces the log by one that holds just these lines. */
  compact(lines: Iterable<string>): void;
  size(): number;
  close(): void;
}

/** `[revision, key, object]` as a line; `json` is the object's text, so that it is serialised once. */
export const journalLine = (revision: number, key: string, json: string): string =>
  `[${revision},${JSON.stringify(key)},${json}]\n`;

/**
 * An append-only log of JSON lines. A write reaches the kernel before its request is answered, so a SIGKILL loses
 * nothing; fsync is batched and protects against a crash of the machine. A torn last line is cut off at start.
 */
export function openJournal(dir: string): { journal: Journal; entries: Entry[] } {
  const path = join(dir, 'objects.log');
  const entries = existsSync(path) ? readEntries(path) : [];
  let fd = openSync(path, 'a', 0o600);
  let bytes = statSync(path).size;
  let timer: NodeJS.Timeout | undefined;

  const syncSoon = (): void => {
    timer ??= setTimeout(() => {
      timer = undefined;
      fsync(fd, () => {});
    }, 50).unref();
  };
  return {
    entries,
    journal: {
      append(line) {
        bytes += writeSync(fd, line);
        syncSoon();
      },
      compact(lines) {
        const next = `${path}.next`;
        const out = openSync(next, 'w', 0o600);
        bytes = 0;
        for (const line of lines) bytes += writeSync(out, line);
        fsyncSync(out);
        renameSync(next, path);
        closeSync(fd);
        fd = out;
      },
      size: () => bytes,
      close() {
        clearTimeout(timer);
        fsyncSync(fd);
        closeSync(fd);
      },
    },
  };
}

function readEntries(path: string): Entry[] {
  const text = readFileSync(path, 'utf8');
  const entries: Entry[] = [];
  let start = 0;
  for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
    const [revision, key, object] = JSON.parse(text.slice(start, end)) as [number, string, KubeObject | null];
    entries.push({ revision, key, object });
    start = end + 1;
  }
  // What follows the last newline was being written when the process died; no client was told that it succeeded.
  if (start < text.length) truncateSync(path, Buffer.byteLength(text.slice(0, start)));
  return entries;
}
