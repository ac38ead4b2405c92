import { colour } from '../render/colour.ts';
import { type Column, renderTable } from '../render/table.ts';
import type { StatRow } from './rows.ts';

const right = (title: string): Column => ({ title, align: 'right' });

/** Rows as a table; the namespace column only where more than one can appear. */
export function statTable(
  rows: readonly StatRow[],
  options: { namespaces: boolean; revisions: boolean; stream?: { isTTY?: boolean | undefined } },
): string {
  const { namespaces, revisions, stream = process.stdout } = options;
  const columns: Column[] = [
    ...(namespaces ? [{ title: 'NAMESPACE' }] : []),
    { title: 'NAME' },
    ...(revisions ? [{ title: 'REVISION' }] : []),
    right('MESHED'),
    right('SUCCESS'),
    right('RPS'),
    right('LATENCY_P50'),
    right('LATENCY_P95'),
    right('LATENCY_P99'),
    right('TCP_CONN'),
  ];
  const cells = rows.map((row) => [
    ...(namespaces ? [row.namespace] : []),
    row.name,
    ...(revisions ? [row.revision] : []),
    row.pods === undefined ? undefined : `${row.meshed}/${row.pods}`,
    success(row.successRate, stream),
    row.rps === undefined ? undefined : `${row.rps.toFixed(1)}rps`,
    latency(row.p50),
    latency(row.p95),
    latency(row.p99),
    row.tcpConnections,
  ]);
  return renderTable(columns, cells);
}

function success(rate: number | undefined, stream: { isTTY?: boolean | undefined }): string | undefined {
  if (rate === undefined) return undefined;
  // Never rounded up to a clean hundred: 99.999 % is not all.
  const percent = Math.floor(rate * 10_000) / 100;
  const style = rate >= 0.99 ? 'green' : rate >= 0.95 ? 'yellow' : 'red';
  return colour(`${percent.toFixed(2)}%`, style, stream);
}

function latency(milliseconds: number | undefined): string | undefined {
  if (milliseconds === undefined) return undefined;
  if (!Number.isFinite(milliseconds)) return '>50s';
  return milliseconds >= 10_000 ? `${(milliseconds / 1000).toFixed(1)}s` : `${Math.round(milliseconds)}ms`;
}
