/** Answers of the proxy's own as HTTP/2 sees them. */
import type { Cause } from '../answers.ts';
import { Field, STATIC, share } from '../protocol/http2/field.ts';

/** A gRPC client is told by its own codes; what only we know goes first. */
export function grpcStatus(status: number, cause: Cause): number {
  if (cause === 'timeout') return 4;
  if (cause === 'rate-limited') return 8;
  return grpcStatusOf(status);
}

/** What an answer without a gRPC status is to its client (grpc/doc/http-grpc-status-mapping.md). */
export function grpcStatusOf(status: number): number {
  switch (status) {
    case 400:
      return 13;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return 12;
    case 408:
      return 4;
    case 429:
    case 502:
    case 503:
    case 504:
      return 14;
    default:
      return 2;
  }
}

/** `grpc-message` is percent-encoded (gRPC over HTTP/2, "Responses"). */
const encodeMessage = (text: string): string =>
  text.replaceAll(
    /[^ -$&-~]/g,
    (character) => `%${(character.charCodeAt(0) & 255).toString(16).padStart(2, '0')}`,
  );

export const statusField = (status: number): Field => share(':status', String(status));

/** Head of an answer with `length` bytes of text behind it. `explain`: whether the client may know the cause. */
export function answerFields(status: number, cause: Cause, length: number, explain: boolean): Field[] {
  const fields = [statusField(status), new Field('content-length', String(length))];
  if (explain) fields.push(share('content-type', 'text/plain'), share('weir-proxy-error', cause));
  return fields;
}

/** Trailers-only: the whole of a gRPC answer. */
export function grpcAnswerFields(code: number, cause: Cause, detail: string, explain: boolean): Field[] {
  const fields = [STATIC[8]!, share('content-type', 'application/grpc'), share('grpc-status', String(code))];
  if (!explain) return fields;
  fields.push(
    new Field('grpc-message', encodeMessage(`${cause}: ${detail}`)),
    share('weir-proxy-error', cause),
  );
  return fields;
}

/** As FieldList counts. */
export const sizeOf = (fields: readonly Field[]): number => fields.reduce((sum, { size }) => sum + size, 0);
