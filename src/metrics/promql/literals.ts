import { parseError } from './errors.ts';

const UNITS: Record<string, number> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
  y: 31_536_000_000,
};
const DURATION = /^(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$/;

/** Milliseconds of a PromQL duration (`1h30m`), or undefined when the text is none. */
export function promDuration(text: string): number | undefined {
  const match = DURATION.exec(text);
  if (!match || text === '') return undefined;
  return ['y', 'w', 'd', 'h', 'm', 's', 'ms'].reduce(
    (total, unit, index) => total + Number(match[index + 1] ?? 0) * UNITS[unit]!,
    0,
  );
}

/** A Go number literal: decimal, hexadecimal, Inf, NaN; or undefined. */
export function promNumber(text: string): number | undefined {
  const clean = text.toLowerCase().replace(/^[+-]/, '');
  const sign = text.startsWith('-') ? -1 : 1;
  if (clean === 'inf' || clean === '+inf') return sign * Number.POSITIVE_INFINITY;
  if (clean === 'nan') return Number.NaN;
  if (/^0x[0-9a-f]+$/.test(clean)) return sign * Number.parseInt(clean, 16);
  if (/^0[0-7]+$/.test(clean)) return sign * Number.parseInt(clean, 8);
  if (/^(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/.test(clean)) return sign * Number(clean);
  return undefined;
}

const SIMPLE: Record<string, string> = {
  a: '\u0007',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  "'": "'",
  '"': '"',
};

/** The text of a quoted literal, with Go's escapes; back-quotes take everything as it is. */
export function unquote(query: string, literal: string, position: number): string {
  const quote = literal[0]!;
  if (literal.length < 2 || literal.at(-1) !== quote)
    throw parseError(query, position, 'unterminated quoted string');
  const body = literal.slice(1, -1);
  if (quote === '`') return body;
  if (body.includes('\n')) throw parseError(query, position, 'unterminated quoted string');
  return body.replace(
    /\\(?:([abfnrtv\\'"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.?))/g,
    (_whole, simple, hex, short, long, octal, other) => {
      if (simple !== undefined) return SIMPLE[simple]!;
      if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
      const code = short ?? long;
      if (code !== undefined && Number.parseInt(code, 16) <= 0x10ffff)
        return String.fromCodePoint(Number.parseInt(code, 16));
      if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8) & 255);
      throw parseError(query, position, `unknown escape sequence "\\${other ?? ''}" in a string`);
    },
  );
}
