import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { AppError, isCode, toAppError } from '../lib/errors.ts';
import type { Logger } from '../lib/log.ts';
import type { AdmissionDecision, AdmissionHandler, AdmissionRequest } from './admission.ts';
import { type Address, bind, closeServer } from './serve.ts';

interface KeyPair {
  cert: string | Buffer;
  key: string | Buffer;
}

export interface AdmissionServerOptions {
  listen: string | Address;
  tls: KeyPair | (() => KeyPair);
  /** Path to webhook. */
  routes: Record<string, AdmissionHandler>;
  log: Logger;
}

/** API servers send at most the largest object twice (object and oldObject), 3 MiB each, as JSON. */
const MAX_BODY = 8 * 1024 * 1024;
/** The longest a webhook may be waited for (`timeoutSeconds` is at most 30). */
const MAX_WAIT_MS = 30_000;

/**
 * Serves admission webhooks (`admission.k8s.io/v1`). A body that is no review is answered with 400 and a handler that throws
 * with 500: an HTTP error is a failed call, and then the webhook's own failurePolicy decides. `reload` takes a new certificate
 * without closing a connection.
 */
export async function startAdmissionServer(
  options: AdmissionServerOptions,
): Promise<{ port: number; stop(): Promise<void>; reload(): void }> {
  const { tls, log } = options;
  const keyPair = (): KeyPair => {
    const { cert, key } = typeof tls === 'function' ? tls() : tls;
    return { cert, key };
  };
  const server = createServer({ ...keyPair(), minVersion: 'TLSv1.2' }, (request, response) => {
    serve(options, request, response).catch((thrown: unknown) => {
      const error = toAppError(thrown);
      const bad = error.code === 'BadRequest';
      if (!bad) log.error({ error, path: request.url }, 'admission webhook failed');
      if (response.headersSent) return response.destroy();
      const code = bad ? 400 : error.code === 'NotFound' ? 404 : 500;
      response.writeHead(code, { 'content-type': 'text/plain; charset=utf-8' }).end(`${error.message}\n`);
    });
  });
  // A failed handshake (a scanner, a stale caBundle) is the client's news as well; it must not end the process.
  server.on('tlsClientError', (error) => log.debug({ cause: error.message }, 'TLS handshake failed'));
  const port = await bind(server, options.listen);
  return {
    port,
    stop: () => closeServer(server),
    reload: () => server.setSecureContext({ ...keyPair(), minVersion: 'TLSv1.2' }),
  };
}

async function serve(
  { routes }: AdmissionServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const path = (request.url ?? '/').split('?')[0]!;
  const handler = Object.hasOwn(routes, path) ? routes[path]! : undefined;
  if (!handler) {
    const known = Object.keys(routes).sort().join(', ');
    request.resume();
    response.writeHead(404).end(`no webhook at ${path}: there are ${known}\n`);
    return;
  }
  if (request.method !== 'POST') throw new AppError('BadRequest', 'send an AdmissionReview with POST');
  const review = parseReview(await readBody(request));
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const decision = await handler(
    review,
    AbortSignal.any([gone.signal, AbortSignal.timeout(MAX_WAIT_MS)]),
  ).catch((error: unknown) => {
    // What the handler could not read is not the caller's bad request: it must count as a failed call.
    throw isCode(error, 'BadRequest', 'NotFound')
      ? new AppError('Internal', toAppError(error).message)
      : error;
  });
  const body = JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: { uid: review.uid, ...responseOf(decision) },
  });
  response
    .writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
    .end(body);
}

function responseOf(decision: AdmissionDecision): Record<string, unknown> {
  if (!decision.allowed)
    return { allowed: false, status: { message: decision.message, code: decision.code ?? 403 } };
  const { patch, warnings } = decision;
  return {
    allowed: true,
    ...(patch && patch.length > 0
      ? { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(patch)).toString('base64') }
      : {}),
    ...(warnings && warnings.length > 0 ? { warnings } : {}),
  };
}

function parseReview(body: string): AdmissionRequest {
  let review: { apiVersion?: unknown; kind?: unknown; request?: AdmissionRequest } | null;
  try {
    review = JSON.parse(body);
  } catch (cause) {
    throw new AppError('BadRequest', 'the body is not JSON: send an AdmissionReview', { cause });
  }
  const request = review?.request;
  if (review?.kind !== 'AdmissionReview' || review.apiVersion !== 'admission.k8s.io/v1')
    throw new AppError('BadRequest', 'send an AdmissionReview of admission.k8s.io/v1');
  if (typeof request?.uid !== 'string' || typeof request.operation !== 'string' || !request.kind)
    throw new AppError('BadRequest', 'the AdmissionReview has no complete request (uid, kind, operation)');
  return { ...request, userInfo: request.userInfo ?? { username: '' } };
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY) throw new AppError('BadRequest', `the review is larger than ${MAX_BODY} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
