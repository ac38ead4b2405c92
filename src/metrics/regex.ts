import { AppError } from '../lib/errors.ts';

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

/**
 * An RE2 pattern as a JavaScript one. What RE2 refuses (look-around, back-references) is refused here too, and what
 * JavaScript would read differently is either translated or refused: never matched differently.
 */
export function translateRe2(pattern: string): { source: string; flags: string } {
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
  rest = rest
    .replaceAll('(?P<', '(?<')
    .replace(/\[:(\w+):\]/g, (whole, name: string) => POSIX[name] ?? whole)
    .replaceAll('\\A', '^')
    .replaceAll('\\z', '$')
    .replace(/\\Q(.*?)(?:\\E|$)/gs, (_whole, text: string) => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'));
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
