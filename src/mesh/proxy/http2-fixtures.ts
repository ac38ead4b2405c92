/** Real HTTP/2 peers (nghttp2, by Node) around a data plane, for tests. */
import { once } from 'node:events';
import http2 from 'node:http2';
import type net from 'node:net';
import { text } from 'node:stream/consumers';
import type { Destination } from '../discovery/model.ts';
import { cleanups, destination } from './fixtures.ts';
import { FRAME, SETTING } from './protocol/http2/frames.ts';
import type { DataPlane } from './proxy.ts';

export type Serve = (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void;

/** An HTTP/2 server (nghttp2, by Node) without TLS. */
export async function server(serve: Serve, options: http2.ServerOptions = {}) {
  const sessions = new Set<http2.ServerHttp2Session>();
  const all = http2.createServer(options);
  all.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => {});
    session.on('close', () => sessions.delete(session));
  });
  all.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    serve(stream, headers);
  });
  await once(all.listen(0, '127.0.0.1'), 'listening');
  cleanups.push(() => {
    all.close();
    for (const session of sessions) session.destroy();
  });
  return { address: `127.0.0.1:${(all.address() as net.AddressInfo).port}`, sessions };
}

export function connect(to: DataPlane): http2.ClientHttp2Session {
  const session = http2.connect(`http://127.0.0.1:${to.ports[0]}`);
  session.on('error', () => {});
  cleanups.push(() => session.destroy());
  return session;
}

export interface Reply {
  status: number;
  headers: http2.IncomingHttpHeaders;
  body: string;
  trailers: http2.IncomingHttpHeaders | undefined;
}

/** One request; rejects when its stream is reset. */
export async function ask(
  session: http2.ClientHttp2Session,
  headers: http2.OutgoingHttpHeaders = {},
  body?: string | Buffer,
  trailers?: http2.OutgoingHttpHeaders,
): Promise<Reply> {
  const stream = session.request(
    { ':path': '/', ...headers },
    { endStream: body === undefined, waitForTrailers: trailers !== undefined },
  );
  let received: http2.IncomingHttpHeaders | undefined;
  stream.on('trailers', (each) => {
    received = each;
  });
  if (trailers) stream.on('wantTrailers', () => stream.sendTrailers(trailers));
  if (body !== undefined) stream.end(body);
  const response = once(stream, 'response');
  const [[head], content] = await Promise.all([response, text(stream)]);
  return { status: head[':status'], headers: head, body: content, trailers: received };
}

export const echo: Serve = (stream, headers) => {
  stream.respond(
    { ':status': 200, 'x-path': headers[':path'], 'x-method': headers[':method'] },
    { waitForTrailers: true },
  );
  let seen: http2.IncomingHttpHeaders = {};
  stream.on('trailers', (each) => {
    seen = each;
  });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'x-seen': String(seen['x-sent'] ?? 'none') }));
  stream.pipe(stream);
};
export const MiB = Buffer.alloc(1_048_576, 'abcdefgh');

export const http1 = (address: string, extra: Partial<Destination> = {}) =>
  destination([address], { protocol: 'http1', ...extra });
export const grpc = {
  ':method': 'POST',
  ':path': '/s/m',
  'content-type': 'application/grpc',
  te: 'trailers',
};

/** A frame as bytes. */
export function frame(type: number, flags: number, id: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, payload]);
}

/** SETTINGS and WINDOW_UPDATE of a peer whose windows are never full. */
export const ENDLESS = (() => {
  const setting = Buffer.alloc(6);
  setting.writeUInt16BE(SETTING.initialWindowSize);
  setting.writeUInt32BE(0x7fff_ffff, 2);
  const window = Buffer.alloc(4);
  window.writeUInt32BE(0x7fff_0000 - 65_535);
  return Buffer.concat([frame(FRAME.settings, 0, 0, setting), frame(FRAME.windowUpdate, 0, 0, window)]);
})();
