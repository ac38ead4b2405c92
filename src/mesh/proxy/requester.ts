/** The two sides of an exchange that know protocols: who asks, and what carries a request to an endpoint. */
import type { Cause } from './answers.ts';
import type { EndpointState } from './endpoint.ts';
import type { Caller, Stack } from './stack.ts';

/** A request's place at an endpoint: an HTTP/1.1 connection, or a stream of an HTTP/2 connection. */
export interface Carrier {
  readonly endpoint: EndpointState;
  /** Connected, and the peer proved who it is. */
  readonly ready: boolean;
  /** Was connected before: the server may have closed it while it was idle. */
  readonly used: boolean;
  /** Something of the response has come. */
  readonly answered: boolean;
  /** Tells the exchange nothing any more. */
  part(): void;
  /** Ends it, in the middle of whatever it does. */
  discard(): void;
}

/** What an exchange needs of the protocol its client speaks: the request, and ways to answer. */
export interface Requester<C extends Carrier> {
  readonly stack: Stack;
  /** Of HTTP, that its client speaks. */
  readonly version: 1 | 2;
  readonly caller: Caller | undefined;
  /** All of the request's body has come. */
  readonly requestDone: boolean;
  /** The upstream does not keep up with the body. */
  readonly requestFull: boolean;
  /** All of the request is here, to be sent once more. */
  readonly whole: boolean;
  /** … without harm even if the first one was acted on. */
  readonly replayable: boolean;
  /** A header of the request by its name in lower case, several as one (RFC 9110 5.3); while the exchange begins. */
  header(name: string): string | undefined;
  /** A carrier of the endpoint that is connected, or none. */
  pooled(endpoint: EndpointState): C | undefined;
  /** A carrier that tells when it is connected. */
  connect(endpoint: EndpointState): C;
  send(carrier: C): void;
  /** The body must wait for a connection. */
  hold(): void;
  /** It need not be sent again. */
  forget(): void;
  /** Sends an answer of the proxy's own; nothing of another has been sent. The gRPC status it became, or -1. */
  answer(status: number, cause: Cause, detail: string): number;
  /** Breaks an answer off, for all to see. */
  break(): void;
  /** The client did not do its part: an answer, and the end. */
  reject(cause: Cause, detail: string): void;
  /** The exchange has ended. */
  next(): void;
}
