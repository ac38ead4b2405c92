/** The fields of one header or trailer section, and what they say about the message (RFC 9113 8). */
import { type Field, KIND } from './field.ts';

export interface ListLimits {
  /** Decoded bytes, each field counting 32 more than its own. */
  headerList: number;
  /** Fields; each part of a split cookie is one. */
  headerCount: number;
}

/** Times the limit from which on a list is an attack. */
const BOMB = 4;

/** Reused for every block of a connection: valid until the next one is decoded. */
export class FieldList {
  readonly items: Field[] = [];
  count = 0;
  size = 0;
  /** More than the limits allow; what is beyond was decoded and left out. */
  overflow = false;
  /** What is wrong with the fields alone, whatever message they belong to. */
  problem: string | undefined;
  method: Field | undefined;
  scheme: Field | undefined;
  path: Field | undefined;
  authority: Field | undefined;
  /** Of an extended CONNECT (RFC 8441). */
  protocol: Field | undefined;
  host: Field | undefined;
  status = 0;
  /** -1 = none. */
  contentLength = -1;
  /** The content type is application/grpc. */
  grpc = false;
  /** Of `grpc-status`; -1 = none, 2 (UNKNOWN) for what is no status. */
  grpcStatus = -1;
  readonly #limits: ListLimits;
  #strip = false;
  #seen = 0;
  #seenSize = 0;
  #regular = false;

  constructor(limits: ListLimits) {
    this.#limits = limits;
  }

  /** `strip`: fields that speak in Weir's name are left out. */
  begin(strip: boolean): void {
    this.count = 0;
    this.size = 0;
    this.overflow = false;
    this.problem = undefined;
    this.method = undefined;
    this.scheme = undefined;
    this.path = undefined;
    this.authority = undefined;
    this.protocol = undefined;
    this.host = undefined;
    this.status = 0;
    this.contentLength = -1;
    this.grpc = false;
    this.grpcStatus = -1;
    this.#strip = strip;
    this.#seen = 0;
    this.#seenSize = 0;
    this.#regular = false;
  }

  add(field: Field): void {
    this.#seen += 1;
    this.#seenSize += field.size;
    if (this.#seen > this.#limits.headerCount || this.#seenSize > this.#limits.headerList) {
      this.overflow = true;
      return;
    }
    const { kind } = field;
    if (kind !== KIND.regular && !this.#note(field, kind)) return;
    if (kind === KIND.regular) this.#regular = true;
    this.items[this.count] = field;
    this.count += 1;
    this.size += field.size;
  }

  /** So much too large that it is no mistake: not worth decoding to its end. */
  get bomb(): boolean {
    return this.#seenSize > BOMB * this.#limits.headerList;
  }

  /** Adds a field of the proxy's own at the end. */
  append(field: Field): void {
    this.items[this.count] = field;
    this.count += 1;
    this.size += field.size;
  }

  /** A copy that stays. */
  keep(): Field[] {
    return this.items.slice(0, this.count);
  }

  /** Whether the field is forwarded. */
  #note(field: Field, kind: number): boolean {
    if (kind <= KIND.badPseudo) {
      if (this.#regular) this.problem ??= 'a pseudo-header after a header';
      this.#pseudo(field, kind);
      return true;
    }
    this.#regular = true;
    switch (kind) {
      case KIND.contentLength:
        if (this.contentLength >= 0) this.problem ??= 'repeated content-length';
        this.contentLength = Number(field.value);
        break;
      case KIND.host:
        if (this.host) this.problem ??= 'repeated host';
        this.host = field;
        break;
      case KIND.grpcContent:
        this.grpc = true;
        break;
      case KIND.grpcStatus:
        this.grpcStatus = /^(?:\d|1[0-6])$/.test(field.value) ? Number(field.value) : 2;
        break;
      case KIND.mesh:
        return !this.#strip;
      case KIND.connection:
        this.problem ??= `connection-specific header ${field.name}`;
        break;
      default:
        this.problem ??= 'invalid header name or value';
    }
    return true;
  }

  #pseudo(field: Field, kind: number): void {
    switch (kind) {
      case KIND.method:
        if (this.method) this.problem ??= 'repeated :method';
        this.method = field;
        return;
      case KIND.scheme:
        if (this.scheme) this.problem ??= 'repeated :scheme';
        this.scheme = field;
        return;
      case KIND.path:
        if (this.path) this.problem ??= 'repeated :path';
        this.path = field;
        return;
      case KIND.authority:
        if (this.authority) this.problem ??= 'repeated :authority';
        this.authority = field;
        return;
      case KIND.protocol:
        if (this.protocol) this.problem ??= 'repeated :protocol';
        this.protocol = field;
        return;
      case KIND.status:
        if (this.status > 0) this.problem ??= 'repeated :status';
        this.status = Number(field.value);
        return;
      default:
        this.problem ??= `unknown or malformed ${field.name}`;
    }
  }

  get #anyPseudo(): boolean {
    const { method, scheme, path, authority, protocol } = this;
    return Boolean(method ?? scheme ?? path ?? authority ?? protocol) || this.status > 0;
  }

  /** What is wrong with this as the head of a request (RFC 9113 8.3.1); undefined = nothing. */
  requestProblem(): string | undefined {
    if (this.problem) return this.problem;
    const { method, path } = this;
    if (!method) return 'no :method';
    if (this.status > 0) return ':status in a request';
    if (this.host && this.authority && this.host.value.toLowerCase() !== this.authority.value.toLowerCase())
      return 'host differs from :authority';
    // RFC 8441 4: what it asks for is named like the target of any other request.
    if (this.protocol && (method.value !== 'CONNECT' || !this.authority))
      return ':protocol without CONNECT or :authority';
    if (method.value === 'CONNECT' && !this.protocol) {
      if (path || this.scheme) return ':path or :scheme with CONNECT';
      return this.authority ? undefined : 'CONNECT without :authority';
    }
    if (!this.scheme) return 'no :scheme';
    if (!path) return 'no :path';
    const slash = path.value.charCodeAt(0) === 47;
    if (!slash && !(path.value === '*' && method.value === 'OPTIONS')) return ':path is not absolute';
    return undefined;
  }

  /** … of a response (RFC 9113 8.3.2). */
  responseProblem(): string | undefined {
    if (this.problem) return this.problem;
    if (this.status === 0) return 'no :status';
    if (this.method ?? this.scheme ?? this.path ?? this.authority ?? this.protocol)
      return 'request pseudo-header in a response';
    return this.status === 101 ? 'status 101' : undefined;
  }

  /** … as trailers (RFC 9113 8.1). */
  trailersProblem(): string | undefined {
    return this.problem ?? (this.#anyPseudo ? 'pseudo-header in trailers' : undefined);
  }
}
