/** What is remembered of one request while somebody wants to know: tracing, the access log, taps. */
import type { Cause } from './answers.ts';
import type { EndpointState } from './endpoint.ts';
import type { Span } from './tracing/tracer.ts';

export interface Outcome {
  /** 0: the client was gone before there was one. */
  status: number;
  /** -1: none. */
  grpcStatus: number;
  /** Of a failure of the proxy's own finding; `client-gone` when the client left before the end. */
  cause: Cause | 'client-gone' | undefined;
  /** Milliseconds from the request's head to the end of the response. */
  duration: number;
  /** … to the response's head; undefined: there was none from upstream. */
  headed: number | undefined;
  retries: number;
  backend: string | undefined;
  endpoint: EndpointState | undefined;
}

export interface RequestFacts {
  direction: 'inbound' | 'outbound';
  /** Key of the destination; inbound, the address of the application. */
  destination: string;
  method: string;
  /** Without its query, which may hold what nobody else should read. */
  path: string;
  authority: string;
  version: '1.0' | '1.1' | '2';
  grpc: boolean;
  secure: boolean;
  /** SPIFFE id of the peer, inbound over mutual TLS. */
  clientId: string | undefined;
  traceId: string | undefined;
}

export class Observation {
  readonly facts: RequestFacts;
  readonly span: Span | undefined;
  /** Milliseconds by the process's own clock, from which durations count. */
  readonly started: number;
  /** Body bytes, framing of HTTP/1.1 chunks included. */
  requestBytes = 0;
  responseBytes = 0;
  readonly #ended: (observation: Observation, outcome: Outcome) => void;
  #over = false;

  constructor(
    facts: RequestFacts,
    span: Span | undefined,
    started: number,
    ended: (observation: Observation, outcome: Outcome) => void,
  ) {
    this.facts = facts;
    this.span = span;
    this.started = started;
    this.#ended = ended;
  }

  /** Milliseconds since 1970. */
  get time(): number {
    return performance.timeOrigin + this.started;
  }

  /** Once: what ends a request first is how it ended. */
  end(outcome: Outcome): void {
    if (this.#over) return;
    this.#over = true;
    this.#ended(this, outcome);
  }
}

/** The whole of a failure: an answer that a server gave may be one too. */
export const failed = ({ status, cause }: Outcome): boolean => cause !== undefined || status >= 500;
