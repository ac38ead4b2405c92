import type { AccessRecord } from '../../mesh/proxy/access-log/line.ts';
import { colour } from '../render/colour.ts';

export type Seen = AccessRecord & { pod: string; skipped?: number };

export interface ViewOptions {
  wide: boolean;
  stream?: { isTTY?: boolean | undefined };
}

const WIDTHS = { time: 12, pod: 24, direction: 3, status: 6, duration: 9, method: 7 } as const;
/** Of what `wide` has besides; a request that is longer moves the rest of its own line only. */
const WIDE = { request: 30, upstream: 21, revision: 10, bytes: 11 } as const;

export function header({ wide }: ViewOptions): string {
  const { time, pod, direction, status, duration, method } = WIDTHS;
  const cells = [
    'TIME'.padEnd(time),
    'POD'.padEnd(pod),
    'DIR'.padEnd(direction),
    'STATUS'.padEnd(status),
    'DURATION'.padStart(duration),
    'METHOD'.padEnd(method),
    wide ? 'REQUEST'.padEnd(WIDE.request) : 'REQUEST',
  ];
  if (wide)
    cells.push(
      'UPSTREAM'.padEnd(WIDE.upstream),
      'REVISION'.padEnd(WIDE.revision),
      'BYTES'.padEnd(WIDE.bytes),
      'CLIENT',
      'TRACE',
    );
  return `${cells.join('  ')}\n`;
}

/** One request as one line; lines come as they happen, so their columns cannot fit what is to come. */
export function line(seen: Seen, { wide, stream = process.stdout }: ViewOptions): string {
  const { status, grpcStatus, cause } = seen;
  const failed = status >= 500 || status === 0 || (grpcStatus ?? 0) > 0;
  const text = status === 0 ? '-' : grpcStatus === undefined ? String(status) : `${status}/${grpcStatus}`;
  const style = failed ? 'red' : status >= 400 ? 'yellow' : 'green';
  const cells = [
    seen.time.slice(11, 23),
    seen.pod.padEnd(WIDTHS.pod),
    (seen.direction === 'inbound' ? 'in' : 'out').padEnd(WIDTHS.direction),
    colour(text, style, stream) + ' '.repeat(Math.max(0, WIDTHS.status - text.length)),
    `${seen.durationMs.toFixed(seen.durationMs < 10 ? 2 : 0)}ms`.padStart(WIDTHS.duration),
    printable(seen.method).padEnd(WIDTHS.method),
    `${printable(seen.authority)}${printable(seen.path)}`.padEnd(wide ? WIDE.request : 0),
  ];
  if (wide)
    cells.push(
      (seen.upstream ?? '-').padEnd(WIDE.upstream),
      (seen.revision ?? '-').padEnd(WIDE.revision),
      `${seen.requestBytes}/${seen.responseBytes}`.padEnd(WIDE.bytes),
      printable(seen.clientId ?? '-'),
      seen.traceId ?? '-',
    );
  const remarks = [cause, seen.skipped && `${seen.skipped} more not shown`].filter(Boolean);
  return `${cells.join('  ')}${remarks.length > 0 ? `  (${remarks.join(', ')})` : ''}\n`;
}

/** What callers wrote must not steer the terminal of who looks on. */
const printable = (text: string) => text.replace(/[^\x20-\x7e]/g, '?');
