/** What stands behind the proxies: servers of HTTP/1.1 (with WebSocket), gRPC's shapes over HTTP/2, and plain TCP. */
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import net, { type AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';

/** Ports of each kind, for two revisions. */
export interface Apps {
  web: number[];
  rpc: number[];
  raw: number[];
  close(): void;
}

async function listen(server: net.Server): Promise<number> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return (server.address() as AddressInfo).port;
}

/** Echoes bodies, after `?wait=` milliseconds. */
function web(): http.Server {
  const server = http.createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    request.on('error', () => {});
    response.on('error', () => {});
    const wait = Number(new URL(request.url!, 'http://web').searchParams.get('wait') ?? 0);
    const answer = () => {
      if (request.method === 'GET') response.end('fine');
      else request.pipe(response);
    };
    if (wait > 0) setTimeout(answer, wait);
    else answer();
  });
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  server.on('upgrade', (request, socket: Duplex, head) =>
    sockets.handleUpgrade(request, socket, head, (each) => {
      each.on('error', () => {});
      each.on('message', (data, isBinary) => each.send(data, { binary: isBinary }));
    }),
  );
  return server;
}

/** Echoes messages, and ends with a status. */
function rpc(): http2.Http2Server {
  const server = http2.createServer();
  server.on('session', (session) => session.on('error', () => {}));
  server.on('stream', (stream) => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.pipe(stream);
  });
  return server;
}

/** Echoes bytes; ends when its client does. */
function raw(): net.Server {
  return net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
}

export async function startApps(): Promise<Apps> {
  const servers: net.Server[] = [];
  const two = async (make: () => net.Server) => {
    const pair = [make(), make()];
    servers.push(...pair);
    return await Promise.all(pair.map(listen));
  };
  return {
    web: await two(web),
    rpc: await two(rpc),
    raw: await two(raw),
    close: () => {
      for (const server of servers) {
        server.close();
        if (server instanceof http.Server) server.closeAllConnections();
      }
    },
  };
}
