/** Trace contexts as requests carry them: W3C `traceparent` (Trace Context, level 2), B3 single and B3 multi headers. Pure. */

/** Formats a request came with, and so is sent on with. */
export const FORMAT = { w3c: 1, b3: 2, b3Multi: 4 } as const;

export interface TraceContext {
  /** 32 lower-case hex digits. */
  traceId: string;
  /** Of the caller's span: 16 lower-case hex digits. */
  parentId: string;
  /** undefined: the caller leaves it to whoever comes next (B3 alone can). */
  sampled: boolean | undefined;
  /** W3C's random-trace-id bit. */
  random: boolean;
}

const TRACEPARENT = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/;
const B3 = /^([\da-f]{16}|[\da-f]{32})-([\da-f]{16})(?:-([01d]))?(?:-[\da-f]{16})?$/i;
const ZEROS = /^0+$/;

/** W3C 3.2: undefined for anything that is not valid, which starts a new trace. */
export function parseTraceparent(value: string): TraceContext | undefined {
  const parts = TRACEPARENT.exec(value);
  if (!parts) return undefined;
  const [, version, traceId = '', parentId = '', flags = '', more] = parts;
  // Version ff is invalid; version 00 has four parts, and what later ones add is skipped.
  if (version === 'ff' || (version === '00' && more !== undefined)) return undefined;
  if (ZEROS.test(traceId) || ZEROS.test(parentId)) return undefined;
  const bits = Number.parseInt(flags, 16);
  return { traceId, parentId, sampled: (bits & 1) === 1, random: (bits & 2) === 2 };
}

export const formatTraceparent = (
  traceId: string,
  spanId: string,
  { sampled, random }: { sampled: boolean; random: boolean },
): string => `00-${traceId}-${spanId}-0${(sampled ? 1 : 0) | (random ? 2 : 0)}`;

function b3Context(trace: string, span: string, sampled: boolean | undefined): TraceContext | undefined {
  const traceId = trace.toLowerCase().padStart(32, '0');
  if (ZEROS.test(traceId) || ZEROS.test(span)) return undefined;
  return { traceId, parentId: span.toLowerCase(), sampled, random: false };
}

/** What a request's headers say of its trace. Reused from request to request. */
export class TraceHeaders {
  formats = 0;
  /** B3's trace id has 64 bits, and is sent on so. */
  short = false;
  #traceparents = 0;
  #traceparent = '';
  #b3 = '';
  #trace = '';
  #span = '';
  #sampled: boolean | undefined;

  reset(): void {
    this.formats = 0;
    this.short = false;
    this.#traceparents = 0;
    this.#traceparent = '';
    this.#b3 = '';
    this.#trace = '';
    this.#span = '';
    this.#sampled = undefined;
  }

  /** One header, its name in lower case. */
  note(name: string, value: string): void {
    switch (name) {
      case 'traceparent':
        this.#traceparents += 1;
        this.#traceparent = value;
        this.formats |= FORMAT.w3c;
        return;
      case 'b3':
        this.#b3 = value;
        this.formats |= FORMAT.b3;
        return;
      case 'x-b3-traceid':
        this.#trace = value;
        this.formats |= FORMAT.b3Multi;
        return;
      case 'x-b3-spanid':
        this.#span = value;
        return;
      case 'x-b3-sampled':
        if (value === '1' || value === 'true') this.#sampled ??= true;
        else if (value === '0' || value === 'false') this.#sampled = false;
        this.formats |= FORMAT.b3Multi;
        return;
      case 'x-b3-flags':
        // Debug implies an accept decision.
        if (value === '1') this.#sampled = true;
        return;
    }
  }

  /** The caller's decision where it sent no ids: B3 allows `b3: 0` and `X-B3-Sampled: 0` alone. */
  get decision(): boolean | undefined {
    if (this.#b3 === '0') return false;
    if (this.#b3 === '1' || this.#b3 === 'd') return true;
    return this.#trace === '' ? this.#sampled : undefined;
  }

  /** W3C before B3 single before B3 multi; undefined: none that is valid. */
  context(): TraceContext | undefined {
    // Two traceparents are none (W3C 3.2.1 allows one).
    if (this.#traceparents === 1) {
      const found = parseTraceparent(this.#traceparent);
      if (found) return found;
    }
    const single = B3.exec(this.#b3);
    if (single) {
      const [, trace = '', span = '', state] = single;
      this.short = trace.length === 16;
      return b3Context(trace, span, state === undefined ? undefined : state !== '0');
    }
    if (!/^(?:[\da-f]{16}|[\da-f]{32})$/i.test(this.#trace) || !/^[\da-f]{16}$/i.test(this.#span))
      return undefined;
    this.short = this.#trace.length === 16;
    return b3Context(this.#trace, this.#span, this.#sampled);
  }
}

/** Whether a header of this name is one that `outgoing` writes anew. */
export function isTraceHeader(name: string): boolean {
  return name === 'traceparent' || name === 'b3' || name.startsWith('x-b3-');
}

/** The headers that a request goes on with, in the formats it came with; W3C where it came with none. */
export function outgoing(
  { formats, short }: Pick<TraceHeaders, 'formats' | 'short'>,
  ids: { traceId: string; spanId: string; parentId: string | undefined; sampled: boolean; random: boolean },
): [name: string, value: string][] {
  const { traceId, spanId, parentId, sampled } = ids;
  const headers: [string, string][] = [];
  if (formats === 0 || formats & FORMAT.w3c)
    headers.push(['traceparent', formatTraceparent(traceId, spanId, ids)]);
  const b3Id = short ? traceId.slice(16) : traceId;
  const flag = sampled ? '1' : '0';
  if (formats & FORMAT.b3) headers.push(['b3', `${b3Id}-${spanId}-${flag}${parentId ? `-${parentId}` : ''}`]);
  if (formats & FORMAT.b3Multi) {
    headers.push(['x-b3-traceid', b3Id], ['x-b3-spanid', spanId], ['x-b3-sampled', flag]);
    if (parentId) headers.push(['x-b3-parentspanid', parentId]);
  }
  return headers;
}

/** `digits` lower-case hex digits, never all zero: W3C forbids such ids. */
export function randomId(digits: 16 | 32, random: () => number): string {
  for (;;) {
    let id = '';
    while (id.length < digits)
      id += Math.floor(random() * 0x1_0000_0000)
        .toString(16)
        .padStart(8, '0');
    if (!ZEROS.test(id)) return id;
  }
}
