/** Heads of HTTP/1.1 as fields of HTTP/2, and back (RFC 9113 8.2 and 8.3). */
import type { Head } from '../protocol/http1/head.ts';
import { Field, KIND, share } from '../protocol/http2/field.ts';
import type { FieldList } from '../protocol/http2/list.ts';

/** Values that differ from message to message: in a table they would push out what repeats. */
const VOLATILE = new Set(
  `content-length date etag last-modified if-match if-none-match if-modified-since if-unmodified-since location
  set-cookie traceparent tracestate b3 x-b3-traceid x-b3-spanid x-b3-parentspanid x-request-id x-correlation-id
  x-forwarded-for idempotency-key content-range range age expires`.split(/\s+/),
);
/** Nor do these belong into a table that clients share (RFC 7541 7.1.3). */
const SECRET = new Set(['authorization', 'cookie', 'proxy-authorization']);
/** What ends with the HTTP/1.1 connection. */
const HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);

/** Of a 101: no field of an answer of HTTP/2. */
const ACCEPT = new Set(['sec-websocket-accept', 'content-length']);

function asField(name: string, value: string): Field {
  if (SECRET.has(name)) return new Field(name, value, undefined, true);
  return VOLATILE.has(name) ? new Field(name, value) : share(name, value);
}

/** The last heads that were translated: clients tend to send the same one again. */
class Memory {
  readonly #slots: ({ bytes: Buffer; fields: Field[]; size: number } | undefined)[] =
    Array(64).fill(undefined);

  #slot(buffer: Buffer, start: number, end: number): number {
    const length = end - start;
    return (length * 31 + buffer[start + (length >> 1)]! * 7 + buffer[end - 6]! + buffer[start + 5]!) & 63;
  }

  find(buffer: Buffer, start: number, end: number): { fields: Field[]; size: number } | undefined {
    const known = this.#slots[this.#slot(buffer, start, end)];
    if (known === undefined || known.bytes.length !== end - start) return undefined;
    return known.bytes.compare(buffer, start, end) === 0 ? known : undefined;
  }

  keep(buffer: Buffer, start: number, end: number, fields: Field[], size: number): void {
    if (end - start > 1_024 || fields.some(({ sensitive }) => sensitive)) return;
    const bytes = Buffer.from(buffer.subarray(start, end));
    this.#slots[this.#slot(buffer, start, end)] = { bytes, fields, size };
  }
}

const requests = new Memory();
const responses = new Memory();

export interface Translated {
  fields: Field[];
  size: number;
}

const sized = (fields: Field[]): Translated => ({
  fields,
  size: fields.reduce((sum, { size }) => sum + size, 0),
});

function addLines(head: Head, buffer: Buffer, fields: Field[], skipHost: boolean): void {
  for (let index = 0; index < head.count; index += 1) {
    if (head.isDropped(index)) continue;
    const [name, value] = head.field(buffer, index);
    if (HOP.has(name) || (skipHost && name === 'host')) continue;
    fields.push(asField(name, value));
  }
}

/** A request parsed from `buffer`. `extra` are added in front of its headers. */
export function requestFields(head: Head, buffer: Buffer): Translated {
  const known = requests.find(buffer, head.start, head.end);
  if (known) return known;
  const fields: Field[] = [share(':method', head.method(buffer)), share(':scheme', 'http')];
  let target = head.target(buffer);
  let host: string | undefined;
  for (let index = 0; index < head.count; index += 1) {
    const [name, value] = head.field(buffer, index);
    if (name === 'host') host = value;
  }
  // RFC 9112 3.2.2: an absolute target says more than Host.
  const absolute = /^https?:\/\/([^/?#]+)(.*)$/i.exec(target);
  if (absolute) {
    host = absolute[1];
    target = absolute[2]!.startsWith('/') ? absolute[2]! : `/${absolute[2]}`;
  }
  fields.push(new Field(':path', target));
  if (host) fields.push(share(':authority', host));
  addLines(head, buffer, fields, true);
  const made = sized(fields);
  requests.keep(buffer, head.start, head.end, fields, made.size);
  return made;
}

/** A response parsed from `buffer`. */
export function responseFields(head: Head, buffer: Buffer): Translated {
  const known = responses.find(buffer, head.start, head.end);
  if (known) return known;
  const fields: Field[] = [share(':status', String(head.status))];
  addLines(head, buffer, fields, false);
  const made = sized(fields);
  responses.keep(buffer, head.start, head.end, fields, made.size);
  return made;
}

/** Trailer lines; undefined when there are none that may be sent. */
export function trailerFields(text: string): Translated | undefined {
  const fields = text
    .split('\r\n')
    .filter((line) => line.includes(':'))
    .map((line) => {
      const colon = line.indexOf(':');
      return new Field(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
    })
    .filter(({ kind }) => kind === KIND.regular || kind === KIND.grpcStatus);
  return fields.length > 0 ? sized(fields) : undefined;
}

/** Header lines of a message; the parts of a cookie become one again (RFC 9113 8.2.3). */
export function lines(items: readonly Field[], count: number): string {
  let text = '';
  let cookie = '';
  for (let i = 0; i < count; i += 1) {
    const { kind, name, value } = items[i]!;
    if (kind <= KIND.badPseudo && kind !== KIND.regular) continue;
    if (kind === KIND.host || name === 'te') continue;
    if (name === 'cookie') cookie += cookie === '' ? value : `; ${value}`;
    else text += `${name}: ${value}\r\n`;
  }
  return cookie === '' ? text : `${text}cookie: ${cookie}\r\n`;
}

/** An extended CONNECT (RFC 8441 5) as the request to upgrade that it stands for; `key` where the client gave none. */
export function upgradeText(list: FieldList, key: string): string {
  const { protocol, path, authority, items, count } = list;
  return (
    `GET ${path!.value} HTTP/1.1\r\nhost: ${authority!.value}\r\nconnection: upgrade\r\nupgrade: ${protocol!.value}\r\n` +
    `${key === '' ? '' : `sec-websocket-key: ${key}\r\n`}${lines(items, count)}\r\n`
  );
}

/** … and the answer that agrees: what is for HTTP/1.1 alone is not in it. */
export function agreedFields(head: Head, buffer: Buffer): Translated & { accept: string } {
  const fields: Field[] = [share(':status', '200')];
  addLines(head, buffer, fields, false);
  const accept = fields.find(({ name }) => name === 'sec-websocket-accept')?.value ?? '';
  return { ...sized(fields.filter(({ name }) => !ACCEPT.has(name))), accept };
}

/** The head of a request in HTTP/1.1. */
export function requestText(list: FieldList, chunked: boolean): string {
  const host = list.authority?.value ?? list.host?.value ?? '';
  return (
    `${list.method!.value} ${list.path!.value} HTTP/1.1\r\nhost: ${host}\r\n` +
    `${lines(list.items, list.count)}${chunked ? 'transfer-encoding: chunked\r\n' : ''}\r\n`
  );
}
