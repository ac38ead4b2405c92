import { displayWidth } from './colour.ts';

export interface Column {
  title: string;
  /** Numbers read best aligned to the right. Default left. */
  align?: 'left' | 'right';
}

/**
 * A table as kubectl prints one: a header, columns parted by three spaces, no trailing blanks. Cells may hold colours;
 * an empty or undefined cell prints as `-`. Ends with a newline.
 */
export function renderTable(
  columns: readonly (Column | string)[],
  rows: readonly (readonly (string | number | undefined)[])[],
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
  const line = (cells: string[]) =>
    cells
      .map((cell, index) => {
        const padding = ' '.repeat(widths[index]! - displayWidth(cell));
        return (heads[index] as Column).align === 'right' ? padding + cell : cell + padding;
      })
      .join('   ')
      .trimEnd();
  return [heads.map((head) => head.title), ...texts].map((cells) => `${line(cells)}\n`).join('');
}
