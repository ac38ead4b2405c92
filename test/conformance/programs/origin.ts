// `origin.ts http1|http2`: a server that answers once it has all of a request, however long that takes; /medium and /large with longer
// bodies. Says its port, and ends with its standard input. An early answer would end what an attack holds open, in the proxy's place.
import { createServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';

const version = process.argv[2];
const bodies: Record<string, Buffer> = {
  '/medium': Buffer.alloc(60_000),
  '/large': Buffer.alloc(version === 'http2' ? 4_194_304 : 33_554_432),
};
const OK = Buffer.from('ok');

function http1() {
  const server = createServer({ requestTimeout: 0, headersTimeout: 0 }, (request, response) => {
    request.on('error', () => {});
    response.on('error', () => {});
    request.resume().on('end', () => response.end(bodies[request.url!] ?? OK));
  });
  // Not the server's own limits are tried here.
  server.timeout = 0;
  return server;
}

function http2() {
  const server = createHttp2Server({ maxSessionMemory: 4_096 });
  server.on('session', (session) => session.on('error', () => {}));
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    stream.resume().on('end', () => {
      if (stream.destroyed) return;
      stream.respond({ ':status': 200 });
      stream.end(bodies[headers[':path']!] ?? OK);
    });
  });
  return server;
}

const server = version === 'http2' ? http2() : http1();
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
process.stdin.resume().on('end', () => process.exit(0));
