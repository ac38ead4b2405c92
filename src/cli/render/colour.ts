/** Where text goes; only whether it is a terminal matters. */
export interface ColourTarget {
  isTTY?: boolean | undefined;
  /** Its width. */
  columns?: number;
}

const CODES = {
  bold: [1, 22],
  dim: [2, 22],
  underline: [4, 24],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  blue: [34, 39],
  magenta: [35, 39],
  cyan: [36, 39],
  grey: [90, 39],
} as const;

export type Style = keyof typeof CODES;

/** Colours are off where nobody sees them: NO_COLOR set, TERM=dumb or no terminal. FORCE_COLOR turns them on. */
export function coloursEnabled(stream: ColourTarget = process.stdout, env = process.env): boolean {
  if (env.NO_COLOR) return false;
  if (env.FORCE_COLOR && env.FORCE_COLOR !== '0') return true;
  return stream.isTTY === true && env.TERM !== 'dumb';
}

/** The text in a style, or unchanged where colours are off. */
export function colour(text: string, style: Style, stream: ColourTarget = process.stdout): string {
  if (!coloursEnabled(stream)) return text;
  const [on, off] = CODES[style];
  return `\u001b[${on}m${text}\u001b[${off}m`;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with a control character.
const ESCAPES = /\u001b\[[0-9;?]*[A-Za-z]/g;

/** The text without escape sequences. */
export function stripColour(text: string): string {
  return text.replace(ESCAPES, '');
}

/** Columns the text takes on a terminal: escapes take none, wide East Asian characters and emoji two. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of stripColour(text)) {
    const code = character.codePointAt(0)!;
    if (/\p{Mark}/u.test(character)) continue;
    const wide =
      (code >= 0x1100 && code <= 0x115f) ||
      (code >= 0x2e80 && code <= 0xa4cf) ||
      (code >= 0xac00 && code <= 0xd7a3) ||
      (code >= 0xf900 && code <= 0xfaff) ||
      (code >= 0xfe30 && code <= 0xfe6f) ||
      (code >= 0xff00 && code <= 0xff60) ||
      (code >= 0x1f300 && code <= 0x1faff);
    width += wide ? 2 : 1;
  }
  return width;
}
