/**
 * Strict HTTP/1.1 head parsing (RFC 9112), in the buffer, in one pass. A head is parsed synchronously and its result
 * used before the next parse, so the two scratch heads of a proxy serve all its connections.
 */
import { isName, TARGET, TOKEN, VALUE } from './chars.ts';
import { HEAD_ERRORS, type Head, STRIDE } from './head.ts';

/** What a parser returns instead of an offset. Zero: more bytes are needed. */
const MORE = 0;

const CR = 13;
const LF = 10;
const SP = 32;
const TAB = 9;
const COMMA = 44;
const SLASH = 47;
const ASTERISK = 42;
const COLON = 58;
const QUESTION = 63;

/** Offset after the head, MORE, or a negative error. `strip` drops weir-* and l5d-* lines: peers must not spoof them. */
export function parseRequestHead(
  head: Head,
  buffer: Buffer,
  from: number,
  end: number,
  strip: boolean,
): number {
  let start = from;
  // RFC 9112 2.2: an empty line before the request line is ignored (once).
  if (end - start >= 2 && buffer[start] === CR && buffer[start + 1] === LF) start += 2;
  let i = start;
  while (i < end && TOKEN[buffer[i]!] === 1) i += 1;
  if (i >= end) return more(head, start, end);
  if (buffer[i] !== SP || i === start) return HEAD_ERRORS.startLine.code;
  head.start = start;
  head.methodEnd = i;
  i += 1;
  const target = i;
  while (i < end && TARGET[buffer[i]!] === 1) i += 1;
  if (i - start > head.limits.startLine) return HEAD_ERRORS.longTarget.code;
  if (i >= end) return more(head, start, end);
  if (buffer[i] !== SP) return HEAD_ERRORS.target.code;
  if (i === target) return HEAD_ERRORS.startLine.code;
  head.targetEnd = i;
  i += 1;
  if (end - i < 10) return partialVersion(head, buffer, i, start, end);
  const minor = version(buffer, i);
  if (minor < 0) return minor;
  if (buffer[i + 8] !== CR || buffer[i + 9] !== LF) return HEAD_ERRORS.startLine.code;
  head.minor = minor;
  const after = parseFields(head, buffer, i + 10, end, strip, true);
  if (after <= 0) return after;
  head.end = after;
  if (head.upgrade && (head.chunked || head.contentLength > 0)) return HEAD_ERRORS.upgrade.code;
  head.authorityEnd = 0;
  const first = buffer[target]!;
  if (first !== SLASH && first !== ASTERISK && !absolute(head, buffer, target)) return HEAD_ERRORS.host.code;
  return after;
}

/** As parseRequestHead, for `HTTP/1.1 200 OK`. */
export function parseResponseHead(
  head: Head,
  buffer: Buffer,
  start: number,
  end: number,
  strip: boolean,
): number {
  if (end - start < 13) {
    return beginsVersion(buffer, start, end) ? more(head, start, end) : HEAD_ERRORS.startLine.code;
  }
  const minor = version(buffer, start);
  if (minor < 0) return minor;
  const a = buffer[start + 9]! - 48;
  const b = buffer[start + 10]! - 48;
  const c = buffer[start + 11]! - 48;
  if (buffer[start + 8] !== SP || a < 1 || a > 5 || b < 0 || b > 9 || c < 0 || c > 9) {
    return HEAD_ERRORS.startLine.code;
  }
  let i = start + 12;
  if (buffer[i] === SP) {
    i += 1;
    while (i < end && VALUE[buffer[i]!] === 1) i += 1;
    if (i - start > head.limits.startLine) return HEAD_ERRORS.tooLarge.code;
  }
  if (i + 1 >= end) return more(head, start, end);
  if (buffer[i] !== CR || buffer[i + 1] !== LF) return HEAD_ERRORS.startLine.code;
  head.start = start;
  head.status = a * 100 + b * 10 + c;
  head.minor = minor;
  const after = parseFields(head, buffer, i + 2, end, strip, false);
  if (after > 0) head.end = after;
  return after;
}

/** RFC 9112 3.2.2: where an absolute target and Host differ, the target's authority counts and Host is left out. */
function absolute(head: Head, buffer: Buffer, target: number): boolean {
  let i = target;
  while (i < head.targetEnd && buffer[i] !== COLON && buffer[i] !== SLASH) i += 1;
  // CONNECT's authority-form, or no form at all: the server's to refuse.
  if (buffer[i] !== COLON || buffer[i + 1] !== SLASH || buffer[i + 2] !== SLASH) return true;
  const start = i + 3;
  let end = start;
  while (end < head.targetEnd && buffer[end] !== SLASH && buffer[end] !== QUESTION) end += 1;
  // User information would be one more way to hide a host (RFC 9110 4.2.4).
  if (end === start || !validHost(buffer, start, end)) return false;
  if (head.host >= 0) {
    const [, value] = head.field(buffer, head.host);
    if (value.toLowerCase() === buffer.toString('latin1', start, end).toLowerCase()) return true;
    head.fields[head.host * STRIDE + 4] = 1;
    head.dropped = true;
  }
  head.authorityStart = start;
  head.authorityEnd = end;
  return true;
}

function more(head: Head, start: number, end: number): number {
  return end - start > head.limits.bytes ? HEAD_ERRORS.tooLarge.code : MORE;
}

function partialVersion(head: Head, buffer: Buffer, i: number, start: number, end: number): number {
  for (let k = i; k < end; k += 1) if (buffer[k] === LF && k < i + 9) return HEAD_ERRORS.startLine.code;
  return more(head, start, end);
}

const VERSION = Buffer.from('HTTP/1.', 'latin1');

/** Whether it can still become HTTP: a server of something else must not keep its client waiting for more. */
function beginsVersion(buffer: Buffer, start: number, end: number): boolean {
  const length = Math.min(VERSION.length, end - start);
  return buffer.compare(VERSION, 0, length, start, start + length) === 0;
}

/** 0 or 1 for HTTP/1.0 and HTTP/1.1 at `i`; negative otherwise. */
function version(buffer: Buffer, i: number): number {
  const http =
    buffer[i] === 72 &&
    buffer[i + 1] === 84 &&
    buffer[i + 2] === 84 &&
    buffer[i + 3] === 80 &&
    buffer[i + 4] === 47 &&
    buffer[i + 6] === 46;
  if (!http) return HEAD_ERRORS.startLine.code;
  const minor = buffer[i + 7]! - 48;
  if (buffer[i + 5] !== 49 || (minor !== 0 && minor !== 1)) return HEAD_ERRORS.version.code;
  return minor;
}

function parseFields(
  head: Head,
  buffer: Buffer,
  from: number,
  end: number,
  strip: boolean,
  request: boolean,
): number {
  const { fields, limits } = head;
  const limit = head.start + limits.bytes;
  head.contentLength = -1;
  head.chunked = false;
  head.close = false;
  head.keepAlive = false;
  head.expectContinue = false;
  head.dropped = false;
  head.host = -1;
  let count = 0;
  let hosts = 0;
  let upgradeLine = -1;
  let listsUpgrade = false;
  let listsOthers = false;
  let teLine = -1;
  let i = from;
  for (;;) {
    if (i >= end) return more(head, head.start, end);
    let c = buffer[i]!;
    if (c === CR) {
      if (i + 1 >= end) return more(head, head.start, end);
      if (buffer[i + 1] !== LF) return HEAD_ERRORS.lineEnd.code;
      i += 2;
      break;
    }
    const nameStart = i;
    while (TOKEN[c] === 1) {
      i += 1;
      if (i >= end) return more(head, head.start, end);
      c = buffer[i]!;
    }
    if (c !== 58 || i === nameStart) return HEAD_ERRORS.fieldName.code;
    const nameEnd = i;
    i += 1;
    while (i < end && (buffer[i] === SP || buffer[i] === TAB)) i += 1;
    const valueStart = i;
    while (i < end && VALUE[buffer[i]!] === 1) i += 1;
    if (i + 1 >= end) {
      if (i < end && buffer[i] !== CR) {
        return buffer[i] === LF ? HEAD_ERRORS.lineEnd.code : HEAD_ERRORS.fieldValue.code;
      }
      return more(head, head.start, end);
    }
    if (buffer[i] !== CR) return buffer[i] === LF ? HEAD_ERRORS.lineEnd.code : HEAD_ERRORS.fieldValue.code;
    if (buffer[i + 1] !== LF) return HEAD_ERRORS.lineEnd.code;
    let valueEnd = i;
    while (valueEnd > valueStart && (buffer[valueEnd - 1] === SP || buffer[valueEnd - 1] === TAB))
      valueEnd -= 1;
    i += 2;
    if (i > limit) return HEAD_ERRORS.tooLarge.code;
    if (count === limits.count) return HEAD_ERRORS.tooMany.code;
    const at = count * STRIDE;
    fields[at] = nameStart;
    fields[at + 1] = nameEnd;
    fields[at + 2] = valueStart;
    fields[at + 3] = i;
    fields[at + 4] = 0;
    count += 1;
    let drop = false;
    switch (nameEnd - nameStart) {
      case 2:
        if (isName(buffer, nameStart, 'te')) {
          drop = !isName(buffer, valueStart, 'trailers') || valueEnd - valueStart !== 8;
          teLine = at;
        }
        break;
      case 4:
        if (request && isName(buffer, nameStart, 'host')) {
          hosts += 1;
          head.host = count - 1;
          if (!validHost(buffer, valueStart, valueEnd)) return HEAD_ERRORS.host.code;
        }
        break;
      case 6:
        if (isName(buffer, nameStart, 'expect')) {
          head.expectContinue = valueEnd - valueStart === 12 && isName(buffer, valueStart, '100-continue');
        }
        break;
      case 7:
        if (isName(buffer, nameStart, 'upgrade')) {
          // Behind such an upgrade requests would pass that nobody has looked at (RFC 9113 3.1 does away with it).
          if (hasToken(buffer, valueStart, valueEnd, 'h2c')) drop = true;
          else upgradeLine = at;
        }
        break;
      case 10:
        if (isName(buffer, nameStart, 'connection')) {
          drop = true;
          let p = valueStart;
          while (p < valueEnd) {
            while (p < valueEnd && (buffer[p] === SP || buffer[p] === TAB || buffer[p] === COMMA)) p += 1;
            const token = p;
            while (p < valueEnd && TOKEN[buffer[p]!] === 1) p += 1;
            const size = p - token;
            if (size === 0 && p < valueEnd) return HEAD_ERRORS.fieldValue.code;
            if (size === 5 && isName(buffer, token, 'close')) head.close = true;
            else if (size === 10 && isName(buffer, token, 'keep-alive')) head.keepAlive = true;
            else if (size === 7 && isName(buffer, token, 'upgrade')) listsUpgrade = true;
            else if (size === 2 && isName(buffer, token, 'te')) continue;
            else if (size > 0) listsOthers = true;
          }
        } else if (isName(buffer, nameStart, 'keep-alive')) drop = true;
        break;
      case 14:
        if (isName(buffer, nameStart, 'http2-settings')) drop = true;
        else if (isName(buffer, nameStart, 'content-length')) {
          const value = digits(buffer, valueStart, valueEnd);
          // Even equal duplicates are refused: what the peer behind us would do with them is not known.
          if (value < 0 || head.contentLength >= 0) return HEAD_ERRORS.length.code;
          head.contentLength = value;
        }
        break;
      case 16:
        drop = isName(buffer, nameStart, 'proxy-connection');
        break;
      case 17:
        if (isName(buffer, nameStart, 'transfer-encoding')) {
          if (head.chunked || head.minor === 0) return HEAD_ERRORS.encoding.code;
          if (valueEnd - valueStart !== 7 || !isName(buffer, valueStart, 'chunked')) {
            return HEAD_ERRORS.coding.code;
          }
          head.chunked = true;
        }
        break;
    }
    if (strip) {
      const first = buffer[nameStart]! | 32;
      if (first === 119 && nameEnd - nameStart > 5) drop ||= isName(buffer, nameStart, 'weir-');
      else if (first === 108 && nameEnd - nameStart > 4) drop ||= isName(buffer, nameStart, 'l5d-');
    }
    if (drop) {
      fields[at + 4] = 1;
      head.dropped = true;
    }
  }
  head.count = count;
  if (i - head.start > limits.bytes) return HEAD_ERRORS.tooLarge.code;
  if (head.chunked && head.contentLength >= 0) return HEAD_ERRORS.encoding.code;
  if (request && hosts !== 1 && (hosts > 1 || head.minor === 1)) return HEAD_ERRORS.host.code;
  head.upgrade = listsUpgrade && upgradeLine >= 0 && head.minor === 1;
  if (upgradeLine >= 0 && !head.upgrade) {
    fields[upgradeLine + 4] = 1;
    head.dropped = true;
  }
  if (listsOthers && !dropListed(head, buffer, teLine)) return HEAD_ERRORS.connection.code;
  return i;
}

/** Drops every line a Connection line nominates. False when one of them frames the message: that is an attack. */
function dropListed(head: Head, buffer: Buffer, teLine: number): boolean {
  const listed = new Set<string>();
  for (let index = 0; index < head.count; index += 1) {
    const [name, value] = head.field(buffer, index);
    if (name !== 'connection') continue;
    for (const token of value.toLowerCase().split(',')) listed.add(token.trim());
  }
  if (listed.has('host') || listed.has('content-length') || listed.has('transfer-encoding')) return false;
  for (let index = 0; index < head.count; index += 1) {
    const at = index * STRIDE;
    const name = head.field(buffer, index)[0];
    if (!listed.has(name) || at === teLine || (name === 'upgrade' && head.upgrade)) continue;
    head.fields[at + 4] = 1;
    head.dropped = true;
  }
  return true;
}

/** Whether one of the tokens of a list is `name`. */
function hasToken(buffer: Buffer, start: number, end: number, name: string): boolean {
  let i = start;
  while (i < end) {
    while (i < end && TOKEN[buffer[i]!] !== 1) i += 1;
    const token = i;
    while (i < end && TOKEN[buffer[i]!] === 1) i += 1;
    if (i - token === name.length && isName(buffer, token, name)) return true;
  }
  return false;
}

/** Non-negative integer of 1 to 15 digits (exact in a double), or -1. */
function digits(buffer: Buffer, start: number, end: number): number {
  if (end === start || end - start > 15) return -1;
  let value = 0;
  for (let i = start; i < end; i += 1) {
    const digit = buffer[i]! - 48;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

/** RFC 9110 7.2: uri-host with an optional port; anything that could be read as two hosts is refused. */
function validHost(buffer: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i += 1) {
    const c = buffer[i]!;
    if (c <= SP || c >= 127 || c === COMMA || c === 64 || c === 47 || c === 92 || c === 63 || c === 35) {
      return false;
    }
  }
  return true;
}
