import type { IncomingMessage, ServerResponse } from 'node:http';
import { AppError, type ErrorCode, toAppError } from '../../lib/errors.ts';
import type { FrameSink } from './session.ts';

const MAX_BODY = 1024 * 1024;

const STATUS: Partial<Record<ErrorCode, number>> = {
  BadRequest: 400,
  Invalid: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  TooManyRequests: 429,
  Unavailable: 503,
  Timeout: 504,
};

/** A small JSON body, parsed. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY) throw new AppError('BadRequest', `The body is larger than ${MAX_BODY} bytes`);
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString()) as unknown;
  } catch (cause) {
    throw new AppError('BadRequest', 'The body is not JSON', { cause });
  }
}

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}

export function sendError(response: ServerResponse, thrown: unknown): void {
  const error = toAppError(thrown);
  if (response.headersSent) {
    response.destroy();
    return;
  }
  sendJson(response, STATUS[error.code] ?? 500, { code: error.code, message: error.message });
}

/** A response that stays open for frames. */
export class ResponseSink implements FrameSink {
  readonly #response: ServerResponse;
  readonly #limit: number;
  readonly #onEnd: ((reason: string) => void) | undefined;

  constructor(
    response: ServerResponse,
    options: { limit: number; onDrain?: () => void; onEnd?: (reason: string) => void },
  ) {
    this.#response = response;
    this.#limit = options.limit;
    this.#onEnd = options.onEnd;
    response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
    response.flushHeaders();
    if (options.onDrain) response.on('drain', options.onDrain);
  }

  get full(): boolean {
    return this.#response.writableLength > this.#limit;
  }

  write(frame: Buffer): void {
    this.#response.write(frame);
  }

  end(reason: string): void {
    this.#onEnd?.(reason);
    // What a slow reader has not taken yet is outdated: it reconnects and gets what is true then.
    if (this.full) this.#response.destroy();
    else this.#response.end();
  }
}
