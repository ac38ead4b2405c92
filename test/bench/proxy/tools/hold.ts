// `hold.ts PORT COUNT`: so many connections that have had one answer each and wait. Says `{"held":COUNT}` when they are
// there, and ends with its stdin.
import { connect } from 'node:net';

const [port, count] = process.argv.slice(2).map(Number) as [number, number];
const AT_ONCE = 100;
let begun = 0;
let held = 0;

function open(): void {
  if (begun === count) return;
  begun += 1;
  const socket = connect({ port, host: '127.0.0.1' });
  socket.once('connect', () => socket.write('GET / HTTP/1.1\r\nHost: bench\r\n\r\n'));
  socket.once('data', () => {
    held += 1;
    if (held === count) console.log(JSON.stringify({ held }));
    open();
  });
  socket.on('close', () => {
    throw new Error(`a connection was closed, with ${held} held`);
  });
}

for (let n = 0; n < AT_ONCE; n += 1) open();
process.stdin.resume().on('end', () => process.exit(0));
