import { AppError } from '../../lib/errors.ts';
import { type Labels, labelsOf, NAME } from '../labels.ts';

/**
 * Receives one sample line: the text of the series as it stands (`name{a="b"}`), its value and, where the line has one,
 * its timestamp in ms. The text is a cache key: only new ones need `parseSeries`.
 */
export type LineSink = (series: string, value: number, timestamp: number | undefined) => void;

const NEWLINE = 10;
const SPACE = 32;
const TAB = 9;
const HASH = 35;

/** The text format 0.0.4. Throws AppError BadRequest naming the line; what came before it has been delivered. */
export function parseExposition(text: string, sink: LineSink): void {
  let at = 0;
  let line = 0;
  while (at < text.length) {
    line += 1;
    let end = text.indexOf('\n', at);
    if (end < 0) end = text.length;
    let start = at;
    while (start < end && isBlank(text.charCodeAt(start))) start += 1;
    at = end + 1;
    const first = text.charCodeAt(start);
    if (start >= end || first === HASH || first === NEWLINE) continue;
    let stop = end;
    while (stop > start && isBlank(text.charCodeAt(stop - 1))) stop -= 1;
    parseLine(text, start, stop, line, sink);
  }
}

function parseLine(text: string, start: number, end: number, line: number, sink: LineSink): void {
  const brace = text.indexOf('{', start);
  let split: number;
  if (brace >= 0 && brace < end) {
    // Value and timestamp hold no brace, so the last one on the line closes the labels whatever their values contain.
    split = text.lastIndexOf('}', end - 1) + 1;
    if (split <= brace) throw invalid(line, 'the labels are not closed');
  } else {
    split = start;
    while (split < end && !isBlank(text.charCodeAt(split))) split += 1;
  }
  let from = split;
  while (from < end && isBlank(text.charCodeAt(from))) from += 1;
  let to = from;
  while (to < end && !isBlank(text.charCodeAt(to))) to += 1;
  if (from === to) throw invalid(line, 'the value is missing');
  const value = parseValue(text.slice(from, to), line);
  let timestamp: number | undefined;
  if (to < end) {
    const rest = text.slice(to, end).trim();
    if (!/^-?\d+$/.test(rest)) throw invalid(line, `"${rest.slice(0, 40)}" is not a timestamp`);
    timestamp = Number(rest);
  }
  sink(text.slice(start, split).trimEnd(), value, timestamp);
}

function parseValue(text: string, line: number): number {
  const value = Number(text);
  if (!Number.isNaN(value) && /^[+-]?[0-9.]/.test(text)) return value;
  switch (text.toLowerCase()) {
    case 'nan':
    case '+nan':
    case '-nan':
      return Number.NaN;
    case 'inf':
    case '+inf':
    case 'infinity':
    case '+infinity':
      return Number.POSITIVE_INFINITY;
    case '-inf':
    case '-infinity':
      return Number.NEGATIVE_INFINITY;
    default:
      throw invalid(line, `"${text.slice(0, 40)}" is not a number`);
  }
}

const METRIC = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
const LABEL = /\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\\n]|\\.)*)"\s*(,|\}$)/y;

/** The labels of a series text, the metric's name among them. */
export function parseSeries(series: string): Labels {
  const name = METRIC.exec(series)?.[0];
  if (name === undefined) throw invalid(0, `"${series.slice(0, 60)}" does not begin with a metric name`);
  const entries: [string, string][] = [[NAME, name]];
  let at = name.length;
  while (series.charCodeAt(at) === SPACE) at += 1;
  if (at < series.length) {
    if (series[at] !== '{') throw invalid(0, `unexpected "${series[at]}" after ${name}`);
    at += 1;
    while (!/^\s*\}$/.test(series.slice(at))) {
      LABEL.lastIndex = at;
      const match = LABEL.exec(series);
      if (!match) throw invalid(0, `"${series.slice(0, 200)}" has an invalid label`);
      entries.push([match[1]!, unescapeValue(match[2]!)]);
      at = LABEL.lastIndex;
      if (match[3] !== ',') break;
    }
  }
  return labelsOf(entries);
}

function unescapeValue(text: string): string {
  return text.includes('\\')
    ? text.replace(/\\(.)/g, (whole, character: string) =>
        character === 'n' ? '\n' : character === '\\' || character === '"' ? character : whole,
      )
    : text;
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB || code === 13;
}

function invalid(line: number, what: string): AppError {
  const where = line > 0 ? `line ${line}: ` : '';
  return new AppError('BadRequest', `${where}${what}: the target must answer in the Prometheus text format`);
}
