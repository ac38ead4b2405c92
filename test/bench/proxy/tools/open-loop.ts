// `open-loop.ts PORT RATE SECONDS`: requests at their times, whether or not the ones before have been answered; a latency
// counts from when its request was due. Looks at the clock without a pause: a timer would be late by a millisecond.
import { connect, type Socket } from 'node:net';

const [port, rate, seconds] = process.argv.slice(2).map(Number) as [number, number, number];
const REQUEST = 'GET / HTTP/1.1\r\nHost: bench\r\n\r\n';
/** Requests of the beginning, with connections to make and code to warm up. */
const WARM = rate / 2;
const CONNECTIONS = 16;

const latencies: number[] = [];
const free: Socket[] = [];
const due: number[] = [];
let answered = 0;

function open(): void {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  socket.once('connect', () => free.push(socket));
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
    const head = text.indexOf('\r\n\r\n');
    if (head < 0) return;
    const length = Number(/content-length: *(\d+)/i.exec(text)?.[1] ?? 0);
    if (text.length < head + 4 + length) return;
    if (!text.startsWith('HTTP/1.1 200')) throw new Error(`answered ${text.slice(0, head)}`);
    text = '';
    answered += 1;
    const begun = due[Number(socket.localPort)]!;
    if (answered > WARM) latencies.push(performance.now() - begun);
    free.push(socket);
  });
}

for (let n = 0; n < CONNECTIONS; n += 1) open();
const total = rate * seconds;
const start = performance.now() + 200;
let sent = 0;

function spin(): void {
  const now = performance.now();
  while (sent < total && start + (sent * 1000) / rate <= now) {
    const socket = free.shift();
    if (!socket) break;
    due[Number(socket.localPort)] = start + (sent * 1000) / rate;
    socket.write(REQUEST);
    sent += 1;
  }
  if (now > start + seconds * 1000 + 10_000) throw new Error(`${answered} of ${total} answered`);
  if (answered < total) return void setImmediate(spin);
  latencies.sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.floor(share * (latencies.length - 1))];
  console.log(JSON.stringify({ p50: at(0.5), p99: at(0.99) }));
  process.exit(0);
}
spin();
