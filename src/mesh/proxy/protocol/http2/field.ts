/**
 * A header field as HTTP/2 knows it. Fields that travel in HPACK tables are shared objects: a reference to a table entry
 * decodes to the object itself and encodes by its identity, so what repeats costs neither a string nor a comparison.
 */
import { TARGET, TOKEN, VALUE } from '../http1/chars.ts';

/** What a field means to a proxy; decided once per field. */
export const KIND = {
  regular: 0,
  method: 1,
  scheme: 2,
  path: 3,
  authority: 4,
  status: 5,
  /** RFC 8441. */
  protocol: 6,
  /** Not a known pseudo-header, or one with a value it cannot have. */
  badPseudo: 7,
  /** RFC 9113 8.2.2: must not occur. */
  connection: 8,
  contentLength: 9,
  host: 10,
  grpcContent: 11,
  /** Weir's own: `weir-*`, and `l5d-*` of Linkerd. */
  mesh: 12,
  grpcStatus: 13,
  /** A name or value that must not be forwarded (RFC 9113 8.2.1). */
  invalid: 14,
} as const;

/** Every entry of a dynamic table counts this much more than its bytes (RFC 7541 4.1). */
const OVERHEAD = 32;

export class Field {
  /** Lower case, latin1. */
  readonly name: string;
  readonly value: string;
  /** As HPACK and SETTINGS_MAX_HEADER_LIST_SIZE count. */
  readonly size: number;
  readonly kind: number;
  /** Static table index of the name; 0 = none. */
  readonly nameIndex: number;
  /** Never to be put into a table (RFC 7541 7.1.3). */
  readonly sensitive: boolean;
  /** Up to 61: index in the static table. Above: shared between tables. 0: neither. */
  id = 0;

  constructor(name: string, value: string, nameIndex = staticName(name), sensitive = false) {
    this.name = name;
    this.value = value;
    this.size = name.length + value.length + OVERHEAD;
    this.nameIndex = nameIndex;
    this.sensitive = sensitive;
    this.kind = classify(name, value);
  }
}

function every(text: string, from: number, table: Uint8Array): boolean {
  for (let i = from; i < text.length; i += 1) if (table[text.charCodeAt(i)] !== 1) return false;
  return true;
}

const LOWER_TOKEN = TOKEN.map((allowed, code) => (code >= 65 && code <= 90 ? 0 : allowed));

/** RFC 9110 7.2, without userinfo; what could be read as two hosts is none. */
const HOST = TARGET.map((allowed, code) => (',@/\\?#'.includes(String.fromCharCode(code)) ? 0 : allowed));

function validValue(value: string): boolean {
  if (!every(value, 0, VALUE)) return false;
  const { length } = value;
  if (length === 0) return true;
  const first = value.charCodeAt(0);
  const last = value.charCodeAt(length - 1);
  return first !== 32 && first !== 9 && last !== 32 && last !== 9;
}

function classify(name: string, value: string): number {
  if (name.charCodeAt(0) === 58) return pseudo(name, value);
  if (name === '' || !every(name, 0, LOWER_TOKEN) || !validValue(value)) return KIND.invalid;
  switch (name) {
    case 'connection':
    case 'keep-alive':
    case 'proxy-connection':
    case 'transfer-encoding':
    case 'upgrade':
      return KIND.connection;
    case 'te':
      return value === 'trailers' ? KIND.regular : KIND.connection;
    case 'content-length':
      return /^\d{1,15}$/.test(value) ? KIND.contentLength : KIND.invalid;
    case 'host':
      return value !== '' && every(value, 0, HOST) ? KIND.host : KIND.invalid;
    case 'content-type':
      return /^application\/grpc(?:$|[+; ])/.test(value) ? KIND.grpcContent : KIND.regular;
    case 'grpc-status':
      return KIND.grpcStatus;
    default:
      return name.startsWith('weir-') || name.startsWith('l5d-') ? KIND.mesh : KIND.regular;
  }
}

function pseudo(name: string, value: string): number {
  switch (name) {
    case ':method':
      return value !== '' && every(value, 0, TOKEN) ? KIND.method : KIND.badPseudo;
    case ':scheme':
      return /^[a-zA-Z][a-zA-Z0-9+.-]*$/.test(value) ? KIND.scheme : KIND.badPseudo;
    case ':path':
      return value !== '' && every(value, 0, TARGET) ? KIND.path : KIND.badPseudo;
    case ':authority':
      return every(value, 0, HOST) ? KIND.authority : KIND.badPseudo;
    case ':protocol':
      return value !== '' && every(value, 0, TOKEN) ? KIND.protocol : KIND.badPseudo;
    case ':status':
      return /^[1-5]\d\d$/.test(value) ? KIND.status : KIND.badPseudo;
    default:
      return KIND.badPseudo;
  }
}

/** RFC 7541 appendix A. */
const STATIC_TEXT = `:authority=|:method=GET|:method=POST|:path=/|:path=/index.html|:scheme=http|:scheme=https|:status=200|
:status=204|:status=206|:status=304|:status=400|:status=404|:status=500|accept-charset=|accept-encoding=gzip, deflate|
accept-language=|accept-ranges=|accept=|access-control-allow-origin=|age=|allow=|authorization=|cache-control=|
content-disposition=|content-encoding=|content-language=|content-length=|content-location=|content-range=|content-type=|
cookie=|date=|etag=|expect=|expires=|from=|host=|if-match=|if-modified-since=|if-none-match=|if-range=|
if-unmodified-since=|last-modified=|link=|location=|max-forwards=|proxy-authenticate=|proxy-authorization=|range=|
referer=|refresh=|retry-after=|server=|set-cookie=|strict-transport-security=|transfer-encoding=|user-agent=|vary=|via=|
www-authenticate=`;

const STATIC_NAMES = new Map<string, number>();

function staticName(name: string): number {
  return STATIC_NAMES.get(name) ?? 0;
}

/** By index; 0 is not used. */
export const STATIC: readonly Field[] = STATIC_TEXT.replaceAll('\n', '')
  .split('|')
  .reduce<Field[]>(
    (all, text, at) => {
      const equals = text.indexOf('=');
      const name = text.slice(0, equals);
      if (!STATIC_NAMES.has(name)) STATIC_NAMES.set(name, at + 1);
      const field = new Field(name, text.slice(equals + 1));
      field.id = at + 1;
      all.push(field);
      return all;
    },
    [new Field('', '', 0)],
  );
export const STATIC_COUNT = STATIC.length - 1;

/** Shared fields: how many, and how many bytes. What is beyond starts anew. */
const SHARED_COUNT = 1_024;
const SHARED_BYTES = 262_144;

const shared = new Map<string, Field>();
let sharedBytes = 0;

for (const field of STATIC) if (field.value !== '') shared.set(`${field.name}\0${field.value}`, field);

/** The one object for a name and value that many connections may put into their tables. */
export function share(name: string, value: string, nameIndex?: number): Field {
  const key = `${name}\0${value}`;
  const known = shared.get(key);
  if (known) return known;
  const field = new Field(name, value, nameIndex);
  if (shared.size >= SHARED_COUNT || sharedBytes > SHARED_BYTES) {
    shared.clear();
    sharedBytes = 0;
    for (const each of STATIC) if (each.value !== '') shared.set(`${each.name}\0${each.value}`, each);
  }
  // An identity is given again after a fresh start; tables compare the object, not only the number.
  field.id = STATIC_COUNT + 1 + shared.size;
  sharedBytes += field.size;
  shared.set(key, field);
  return field;
}
