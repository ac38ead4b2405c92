import {
  type MetricTemplate,
  type MetricTemplateSpec,
  metricTemplateSpecSchema,
} from '../api/metric-template.ts';
import { DURATION_PATTERN, parseDuration } from '../lib/duration.ts';
import { AppError } from '../lib/errors.ts';

type Argument = { type: MetricTemplateSpec['args'][number]['type']; value: string | number | boolean };

/** What every template and every inline query may name without declaring it. */
export interface BuiltInArguments {
  namespace: string;
  service: string;
  canary: string;
  stable: string;
  /** Milliseconds. */
  window: number;
}

const builtIn = ({ window, ...strings }: BuiltInArguments): [string, Argument][] => [
  ...Object.entries(strings).map(([name, value]): [string, Argument] => [name, { type: 'string', value }]),
  ['window', { type: 'duration', value: `${Math.max(1, Math.ceil(window / 1000))}s` }],
];

/** Renders `{{ name }}` in an inline query with the built-in arguments. */
export function renderQuery(query: string, given: BuiltInArguments): string {
  return substitute(query, new Map(builtIn(given)));
}

/** The query of a MetricTemplate with its arguments in place, and the unit of its answer. */
export function renderTemplate(
  template: MetricTemplate,
  args: Record<string, string | number | boolean>,
  given: BuiltInArguments,
): { query: string; unit: MetricTemplateSpec['unit'] } {
  const name = template.metadata.name;
  const parsed = metricTemplateSpecSchema.safeParse(template.spec);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new AppError(
      'Invalid',
      `MetricTemplate ${name}: spec.${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'is not valid'}`,
    );
  }
  const spec = parsed.data;
  const unknown = Object.keys(args).filter((key) => !spec.args.some((declared) => declared.name === key));
  if (unknown.length > 0) {
    throw new AppError(
      'Invalid',
      `MetricTemplate ${name} has no argument "${unknown[0]}": it declares ${list(spec.args.map((arg) => arg.name))}`,
    );
  }
  const values = new Map(builtIn(given));
  for (const declared of spec.args) {
    const value = args[declared.name] ?? declared.default;
    if (value === undefined) {
      throw new AppError(
        'Invalid',
        `MetricTemplate ${name} needs a value for "${declared.name}": give it under templateRef.args`,
      );
    }
    values.set(declared.name, { type: declared.type, value });
  }
  return { query: substitute(spec.query, values), unit: spec.unit };
}

const list = (names: string[]): string => (names.length === 0 ? 'none' : names.join(', '));

/**
 * Puts values where `{{ name }}` stands. What a value may become depends on where it stands: inside a string literal
 * it is escaped for that literal, outside it is a literal of its own. No value can end a string or start another
 * expression.
 */
function substitute(query: string, values: Map<string, Argument>): string {
  let out = '';
  let literal: '"' | "'" | '`' | undefined;
  for (let at = 0; at < query.length; ) {
    const placeholder = /^\{\{\s*([A-Za-z][A-Za-z0-9_]*)\s*\}\}/.exec(query.slice(at, at + 200));
    if (placeholder) {
      const [text, name] = placeholder as unknown as [string, string];
      const argument = values.get(name);
      if (!argument) {
        throw new AppError(
          'Invalid',
          `the query names {{ ${name} }}, which is no argument: use one of ${list([...values.keys()])}`,
        );
      }
      out += write(name, argument, literal);
      at += text.length;
      continue;
    }
    const char = query[at]!;
    if (literal === undefined && char === '#') {
      const end = query.indexOf('\n', at);
      at = end < 0 ? query.length : end;
      continue;
    }
    if (literal !== undefined && literal !== '`' && char === '\\') {
      out += query.slice(at, at + 2);
      at += 2;
      continue;
    }
    if (literal === char) literal = undefined;
    else if (literal === undefined && (char === '"' || char === "'" || char === '`')) literal = char;
    out += char;
    at += 1;
  }
  return out;
}

function write(name: string, { type, value }: Argument, literal: '"' | "'" | '`' | undefined): string {
  switch (type) {
    case 'number': {
      const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
      if (typeof number !== 'number' || !Number.isFinite(number)) throw wrong(name, value, 'a number');
      return String(number);
    }
    case 'boolean': {
      if (value !== true && value !== false && value !== 'true' && value !== 'false')
        throw wrong(name, value, 'true or false');
      const yes = value === true || value === 'true';
      // PromQL has no booleans outside of strings; its comparisons yield 1 and 0.
      return literal === undefined ? (yes ? '1' : '0') : String(yes);
    }
    case 'duration': {
      if (!new RegExp(DURATION_PATTERN).test(String(value)))
        throw wrong(name, value, 'a duration such as 5m');
      return `${Math.max(1, Math.ceil(parseDuration(String(value)) / 1000))}s`;
    }
    case 'string': {
      const text = String(value);
      if (literal === '`') {
        if (text.includes('`')) throw wrong(name, value, 'text without a back-quote');
        return text;
      }
      const escaped = JSON.stringify(text).slice(1, -1);
      if (literal === undefined) return `"${escaped}"`;
      return literal === '"' ? escaped : escaped.replaceAll('\\"', '"').replaceAll("'", "\\'");
    }
  }
}

const wrong = (name: string, value: unknown, wanted: string) =>
  new AppError('Invalid', `argument "${name}" must be ${wanted}, not ${JSON.stringify(value)}`);
