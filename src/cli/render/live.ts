import { displayWidth, stripColour } from './colour.ts';

// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with a control character.
const TOKEN = /\u001b\[[0-9;?]*[A-Za-z]|./gsu;

/** The line in at most `columns`, an ellipsis where it was cut; colours end with it. */
export function clip(line: string, columns: number): string {
  if (displayWidth(line) <= columns) return line;
  let out = '';
  let width = 0;
  for (const [token] of line.matchAll(TOKEN)) {
    width += displayWidth(token);
    if (width > columns - 1) break;
    out += token;
  }
  return `${out}${out === stripColour(out) ? '' : '\u001b[0m'}…`;
}

/** Plain text broken between words into at most `most` lines; what is left over is clipped. */
export function wrap(text: string, columns: number, most: number): string[] {
  const lines: string[] = [];
  let rest = text;
  while (displayWidth(rest) > columns && lines.length < most - 1) {
    const space = rest.lastIndexOf(' ', columns);
    if (space <= 0) break;
    lines.push(rest.slice(0, space));
    rest = rest.slice(space + 1);
  }
  return [...lines, clip(rest, columns)];
}

/**
 * A few lines at the end of a terminal's output that are redrawn in place. No line is wider than the terminal, or it
 * would take two rows and the next drawing would begin one row too low. Each drawing is one write that overwrites before
 * it erases, so nothing flickers.
 */
export class LiveBlock {
  readonly #stream: NodeJS.WriteStream;
  #height = 0;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    stream.write('\u001b[?25l');
  }

  get columns(): number {
    return (this.#stream.columns || 80) - 1;
  }

  draw(lines: readonly string[]): void {
    const shown = lines.slice(0, Math.max(1, (this.#stream.rows || 24) - 1));
    this.#stream.write(
      `${this.#up()}${shown.map((line) => `${clip(line, this.columns)}\u001b[K\n`).join('')}\u001b[0J`,
    );
    this.#height = shown.length;
  }

  /** A line that stays, above the block; the block is drawn again by the next `draw`. */
  say(line: string): void {
    this.#stream.write(`${this.#up()}\u001b[0J${line}\n`);
    this.#height = 0;
  }

  /** What is drawn stays; the cursor comes back. */
  end(): void {
    this.#stream.write('\u001b[?25h');
    this.#height = 0;
  }

  #up(): string {
    return this.#height === 0 ? '' : `\u001b[${this.#height}A`;
  }
}
