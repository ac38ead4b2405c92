/** One printed figure. `ratio` and `bar` compare with a peer of the same run; `ok` is false when the bar was missed. */
export interface Row {
  name: string;
  value: number | string;
  unit: string;
  peer?: string | number;
  ratio?: number;
  bar?: string;
  ok?: boolean;
}

export interface Bench {
  summary: string;
  /** `flags` are what follows the bench's name, `--json` aside. */
  run(options: { log: (line: string) => void; flags: readonly string[] }): Promise<Row[]>;
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** One JSON object on stdout, or a table. */
export function print(bench: string, rows: Row[], json: boolean): void {
  if (json) {
    console.log(JSON.stringify({ bench, rows }));
    return;
  }
  for (const { name, value, unit, peer, ratio, bar, ok } of rows) {
    const verdict = ok === undefined ? '' : ok ? 'ok' : 'MISSED';
    console.log(
      [
        name.padEnd(44),
        `${value} ${unit}`.padStart(18),
        peer === undefined ? '' : `peer ${peer}`,
        ratio === undefined ? '' : `x${ratio.toFixed(2)}`,
        bar ?? '',
        verdict,
      ]
        .join('  ')
        .trimEnd(),
    );
  }
}
