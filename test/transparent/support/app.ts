// The applications of the tests, which know nothing of a mesh. Run as a process in a pod's namespace.
import { createServer as createHttp } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { createServer } from 'node:net';

const [key = '', certificate = ''] = [process.env.APP_KEY, process.env.APP_CERTIFICATE];
const name = process.env.APP_NAME ?? '';

/** Says who answers, and what of the request it saw. */
const answer: Parameters<typeof createHttp>[1] = (request, response) => {
  const { method, url, headers } = request;
  request.resume().on('end', () => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ name, method, url, headers, from: request.socket.remoteAddress }));
  });
};
createHttp(answer).listen(8080, '::');
createHttp(answer).listen(9000, '::');
createHttps({ key, cert: certificate }, answer).listen(8443, '::');

// Greets at once, as mail and database servers do, and echoes lines.
createServer((socket) => {
  socket.on('error', () => {});
  socket.write(`220 ${name} ready\r\n`);
  socket.pipe(socket);
}).listen(2525, '::');

// Answers only when the client has said all it wants to say.
createServer({ allowHalfOpen: true }, (socket) => {
  let size = 0;
  socket.on('error', () => {});
  socket.on('data', (chunk) => {
    size += chunk.length;
  });
  socket.on('end', () => socket.end(`${name} got ${size} bytes\n`));
}).listen(7777, '::', () => process.stdout.write('listening\n'));
