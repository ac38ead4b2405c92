import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { toAppError } from '../lib/errors.ts';
import { parseListen } from '../lib/listen.ts';
import type { Logger } from '../lib/log.ts';
import type { AdmissionDecision, AdmissionHandler, AdmissionRequest } from './admission.ts';
import { listening, type RunningServer } from './health.ts';

export interface Certificate {
  cert: string | Buffer;
  key: string | Buffer;
}

export interface AdmissionServerOptions {
  listen: string;
  tls: Certificate | (() => Certificate);
  /** Path -> webhook. */
  routes: Record<string, AdmissionHandler>;
  log: Logger;
}

export interface AdmissionServer extends RunningServer {
  /** Takes a renewed certificate for new connections. */
  reload(): void;
}

/** Reviews are a few KiB; an API server refuses objects over 3 MiB (two of them, and an envelope). */
const MAX_BODY = 8 * 1024 * 1024;
const HANDLER_TIMEOUT_MS = 10_000;

async function readReview(request: IncomingMessage): Promise<AdmissionRequest> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Buffer).length;
    if (size > MAX_BODY) throw new Error('the AdmissionReview is too large');
    chunks.push(chunk as Buffer);
  }
  const review = JSON.parse(Buffer.concat(chunks).toString('utf8')) as {
    kind?: string;
    request?: AdmissionRequest;
  };
  if (review.kind !== 'AdmissionReview' || !review.request?.uid)
    throw new Error('not an AdmissionReview of admission.k8s.io/v1');
  return review.request;
}

function responseOf(uid: string, decision: AdmissionDecision): object {
  if (!decision.allowed)
    return { uid, allowed: false, status: { code: decision.code ?? 403, message: decision.message } };
  return {
    uid,
    allowed: true,
    ...(decision.warnings?.length ? { warnings: decision.warnings } : {}),
    ...(decision.patch?.length
      ? { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(decision.patch)).toString('base64') }
      : {}),
  };
}

/** Webhooks over HTTPS. A review that is none is 400; a handler that throws is 500, so that failurePolicy decides. */
export async function startAdmissionServer({
  listen,
  tls,
  routes,
  log,
}: AdmissionServerOptions): Promise<AdmissionServer> {
  const certificate = () => (typeof tls === 'function' ? tls() : tls);
  const server = createServer({ ...certificate(), minVersion: 'TLSv1.2' }, async (request, response) => {
    const answer = (status: number, body: object | string) => {
      response.writeHead(status, {
        'content-type': typeof body === 'string' ? 'text/plain' : 'application/json',
      });
      response.end(typeof body === 'string' ? body : JSON.stringify(body));
    };
    const handler = routes[request.url?.split('?')[0] ?? ''];
    if (!handler || request.method !== 'POST') return answer(404, 'no such webhook');
    let review: AdmissionRequest;
    try {
      review = await readReview(request);
    } catch (error) {
      return answer(400, toAppError(error).message);
    }
    try {
      const decision = await handler(review, AbortSignal.timeout(HANDLER_TIMEOUT_MS));
      answer(200, {
        apiVersion: 'admission.k8s.io/v1',
        kind: 'AdmissionReview',
        response: responseOf(review.uid, decision),
      });
    } catch (error) {
      log.error(
        { error, path: request.url, name: review.name, namespace: review.namespace },
        'webhook failed',
      );
      answer(500, toAppError(error).message);
    }
  });
  server.on('tlsClientError', (error) => log.debug({ error }, 'TLS handshake failed'));
  const { host, port } = parseListen(listen);
  await listening(server, host, port);
  return {
    port: (server.address() as AddressInfo).port,
    reload: () => server.setSecureContext(certificate()),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
        // Reviews in progress get their answer; connections that linger after it do not keep the process.
        setTimeout(() => server.closeAllConnections(), 1000).unref();
      }),
  };
}
