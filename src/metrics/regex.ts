import { setFlagsFromString } from 'node:v8';
import { AppError } from '../lib/errors.ts';

// RE2 takes time linear in the text. V8's own engine tries every way there is, for hours over one label of forty letters;
// with this, it turns to its linear one when it has gone back too often.
setFlagsFromString('--enable-experimental-regexp-engine-on-excessive-backtracks');

const POSIX: Record<string, string> = {
  alnum: '0-9A-Za-z',
  alpha: 'A-Za-z',
  blank: '\\t ',
  digit: '0-9',
  lower: 'a-z',
  punct: '!-\\/:-@\\[-`{-~',
  space: '\\t\\n\\v\\f\\r ',
  upper: 'A-Z',
  word: '0-9A-Za-z_',
  xdigit: '0-9A-Fa-f',
};

/** What an escaped letter is here, outside a class. */
const ESCAPES: Record<string, string> = { A: '^', a: '\\x07', z: '$' };
/** Escaped letters that mean the same in both; any other means itself in JavaScript, and in RE2 nothing. */
const SAME_ESCAPES = new Set('bBdDfnprstvwPSW');
/** Quoted text, escapes, and where classes begin and end (`]` as the first of a class is one of its characters). */
const TOKENS =
  /\\Q([\s\S]*?)(?:\\E|$)|\\x\{([0-9a-fA-F]{1,6})\}|\\x[0-9a-fA-F]{2}|\\([\s\S])|\[:(\^?\w+):\]|\[\^?\]?|\]/g;

/**
 * An RE2 pattern as a JavaScript one. What RE2 refuses (look-around, back-references) is refused here too, and what
 * JavaScript would read differently is either translated or refused: never matched differently.
 */
function translateRe2(pattern: string): { source: string; flags: string } {
  const refuse = (why: string) =>
    new AppError('BadRequest', `the regular expression "${pattern}" ${why}: write it in RE2 syntax`);
  let flags = '';
  let rest = pattern;
  const lead = /^\(\?([a-zA-Z]+)\)/.exec(rest);
  if (lead) {
    if (/[^is]/.test(lead[1]!)) throw refuse(`uses the flag (?${lead[1]}) that is unsupported`);
    flags = [...new Set(lead[1])].sort().join('');
    rest = rest.slice(lead[0].length);
  }
  if (/\(\?(?:[=!]|<[=!])/.test(rest)) throw refuse('uses look-around');
  if (/(?<!\\)(?:\\\\)*\\[1-9k]/.test(rest)) throw refuse('uses a back-reference');
  if (/\(\?[a-zA-Z-]+[:)]/.test(rest) && !/\(\?(?:P<|<)/.test(rest)) {
    throw refuse('changes flags in its middle, which is unsupported');
  }
  let inClass = false;
  rest = rest
    .replaceAll('(?P<', '(?<')
    .replace(TOKENS, (whole, quoted?: string, point?: string, escaped?: string, named?: string) => {
      if (quoted !== undefined) return quoted.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
      if (point !== undefined) {
        const text = Number.parseInt(point, 16).toString(16).padStart(4, '0');
        if (text.length > 4) throw refuse('names a character beyond U+FFFF, which is unsupported');
        return `\\u${text}`;
      }
      if (escaped !== undefined) {
        if (ESCAPES[escaped] !== undefined && !inClass) return ESCAPES[escaped];
        if (/[a-zA-Z]/.test(escaped) && !SAME_ESCAPES.has(escaped))
          throw refuse(`has the escape \\${escaped}`);
        return whole;
      }
      if (named !== undefined) {
        if (!inClass) return whole;
        if (POSIX[named] === undefined) throw refuse(`has the class [:${named}:]`);
        return POSIX[named];
      }
      if (whole.startsWith('[') && !inClass) {
        inClass = true;
        return whole.replace(']', '\\]');
      }
      inClass &&= !whole.endsWith(']');
      return whole;
    });
  if (inClass) throw refuse('does not close a class');
  return { source: rest, flags };
}

/** A compiled, fully anchored pattern, as matchers and relabelling use them. */
export function compileAnchored(pattern: string): RegExp {
  const { source, flags } = translateRe2(pattern);
  try {
    return new RegExp(`^(?:${source})$`, /\\p/i.test(source) ? `${flags}u` : flags);
  } catch (cause) {
    throw new AppError(
      'BadRequest',
      `the regular expression "${pattern}" is invalid: ${(cause as Error).message}`,
    );
  }
}

/** The alternatives of a pattern that is nothing but plain words (`a|b|c`), or undefined. */
export function literalAlternatives(pattern: string): string[] | undefined {
  return /^[\w\-:/ ,@%=|]*$/.test(pattern) ? pattern.split('|') : undefined;
}
