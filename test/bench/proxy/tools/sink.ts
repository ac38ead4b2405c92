// `sink.ts PORT`: an HTTP server that reads what it is sent and answers two bytes.
import { createServer } from 'node:http';

createServer({ highWaterMark: 262_144 }, (request, response) => {
  request.on('data', () => {});
  request.on('end', () => response.end('ok'));
}).listen(Number(process.argv[2]), '127.0.0.1');
