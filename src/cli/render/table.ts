import { type ColourTarget, displayWidth } from './colour.ts';
import { clip } from './live.ts';

export interface Column {
  title: string;
  /** Numbers read best aligned to the right. Default left. */
  align?: 'left' | 'right';
}

/** Columns of a terminal that are left for the last cell; with fewer it is better broken than cut. */
const LEAST = 10;

/**
 * A table as kubectl prints one: a header, columns parted by three spaces, no trailing blanks. Cells may hold colours;
 * an empty or undefined cell prints as `-`. Ends with a newline. With a terminal to print to, a last column of sentences is cut
 * where that ends: rows that break read as none.
 */
export function renderTable(
  columns: readonly (Column | string)[],
  rows: readonly (readonly (string | number | undefined)[])[],
  { isTTY, columns: width = 80 }: ColourTarget = {},
): string {
  const heads = columns.map((column) => (typeof column === 'string' ? { title: column } : column));
  const texts = rows.map((row) =>
    heads.map((_, index) => {
      const cell = row[index];
      return cell === undefined || cell === '' ? '-' : String(cell);
    }),
  );
  const widths = heads.map((head, index) =>
    Math.max(displayWidth(head.title), ...texts.map((row) => displayWidth(row[index]!))),
  );
  const before = widths.slice(0, -1).reduce((sum, each) => sum + each + 3, 0);
  const room = isTTY && width - before >= LEAST ? width - before : Number.POSITIVE_INFINITY;
  const line = (cells: string[]) =>
    cells
      .map((cell, index) => (index === cells.length - 1 ? clip(cell, room) : cell))
      .map((cell, index) => {
        const padding = ' '.repeat(Math.max(0, widths[index]! - displayWidth(cell)));
        return (heads[index] as Column).align === 'right' ? padding + cell : cell + padding;
      })
      .join('   ')
      .trimEnd();
  return [heads.map((head) => head.title), ...texts].map((cells) => `${line(cells)}\n`).join('');
}
