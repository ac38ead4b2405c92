import { connect } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { type AdminHandler, type AdminResponse, serveAdmin } from './admin-server.ts';
import { cleanUp, cleanups, count, transport } from './fixtures.ts';

afterEach(cleanUp);

async function serve(handle: AdminHandler) {
  const listener = await serveAdmin(transport(), { host: '127.0.0.1', port: 0 }, handle);
  cleanups.push(() => listener.close());
  return listener;
}

/** A connection that remembers what it was told. */
function client(port: number) {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const made = { socket, text: '', ended: false };
  socket.on('data', (chunk) => {
    made.text += chunk.toString('latin1');
  });
  socket.on('end', () => {
    made.ended = true;
  });
  socket.on('error', () => {});
  cleanups.push(() => void socket.destroy());
  return made;
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not in time: ${condition}`);
    await new Promise(setImmediate);
  }
}

const echo: AdminHandler = ({ method, target, local }, response) =>
  response.send(200, `${method} ${target} ${local}\n`);

test('requests one after the other, in one piece and byte by byte, HEAD without a body', async () => {
  const { port } = await serve(echo);
  const made = client(port);
  const requests = 'GET /a HTTP/1.1\r\nHost: x\r\n\r\nHEAD /b HTTP/1.1\r\nHost: x\r\n\r\n';
  made.socket.write(requests);
  await until(() => count(made.text, 'HTTP/1.1 200 OK') === 2);
  expect(made.text).toContain('content-length: 12\r\n\r\nGET /a true\n');
  expect(made.text).not.toContain('HEAD /b true');
  for (const byte of 'GET /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n') made.socket.write(byte);
  await until(() => made.ended);
  expect(made.text).toMatch(/connection: close\r\n\r\nGET \/c true\n$/);
});

test('a body is passed over; one that is too long or malformed, and a malformed head, end the connection', async () => {
  const { port } = await serve(echo);
  const fine = client(port);
  fine.socket.write(
    'POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345GET /b HTTP/1.1\r\nHost: x\r\n\r\n',
  );
  await until(() => fine.text.includes('GET /b true'));
  for (const [request, status] of [
    ['GET /a b HTTP/1.1\r\n\r\n', 400],
    ['GET /a HTTP/1.1\r\n\r\n', 400],
    [`GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 414],
    ['POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n', 400],
    [`POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n${'x'.repeat(100_000)}`, 400],
  ] as const) {
    const wrong = client(port);
    wrong.socket.write(request);
    await until(() => wrong.ended || wrong.socket.destroyed);
    // A reset may overtake the answer where more was sent than was taken.
    if (wrong.ended) expect(wrong.text).toContain(`HTTP/1.1 ${status} `);
  }
});

test('answers keep their order though the first is not ready, and whoever floods meanwhile is cut off', async () => {
  const waiting: AdminResponse[] = [];
  const { port } = await serve(({ target }, response) => {
    if (target === '/slow') waiting.push(response);
    else response.send(200, `${target}\n`);
  });
  const made = client(port);
  made.socket.write('GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /fast HTTP/1.1\r\nHost: x\r\n\r\n');
  await until(() => waiting.length === 1);
  expect(made.text).toBe('');
  waiting[0]!.send(200, 'slow\n');
  await until(() => made.text.endsWith('/fast\n'));
  expect(made.text.indexOf('slow')).toBeLessThan(made.text.indexOf('/fast'));
  const flood = client(port);
  flood.socket.write(`GET /slow HTTP/1.1\r\nHost: x\r\n\r\n${'x'.repeat(200_000)}`);
  await until(() => flood.socket.destroyed || flood.ended);
});

test('a stream is in chunks, to HTTP/1.0 as it is; that it has gone is told once', async () => {
  let [closed, write] = [0, (_text: string) => true];
  const { port } = await serve((_request, response) => {
    write = response.stream('text/plain', { drained: () => {}, closed: () => (closed += 1) });
    write('a\n');
  });
  const made = client(port);
  made.socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  await until(() => made.text.endsWith('\r\n\r\n2\r\na\n\r\n'));
  write('ü');
  await until(() => made.text.endsWith('\r\n2\r\n\xc3\xbc\r\n'));
  made.socket.destroy();
  await until(() => closed === 1);
  const old = client(port);
  old.socket.write('GET / HTTP/1.0\r\n\r\n');
  await until(() => old.text.endsWith('connection: close\r\n\r\na\n'));
});

test('who has half-closed gets its answer; what is open ends with the server', async () => {
  const listener = await serve(echo);
  const made = client(listener.port);
  made.socket.end('GET /a HTTP/1.1\r\nHost: x\r\n\r\n');
  await until(() => made.ended);
  expect(made.text).toContain('GET /a true');
  const idle = client(listener.port);
  idle.socket.write('GET /a HTTP/1.1\r\nHost: x\r\n\r\n');
  await until(() => idle.text.includes('GET /a true'));
  listener.close();
  await until(() => idle.ended || idle.socket.destroyed);
});

test('who has gone gets no answers to what was asked behind the one at hand: a stream would have nobody to end it', async () => {
  const asked: string[] = [];
  const waiting: AdminResponse[] = [];
  const { port } = await serve(({ target }, response) => {
    asked.push(target);
    if (target === '/slow') waiting.push(response);
    else response.send(200, `${target}\n`);
  });
  const made = client(port);
  made.socket.write('GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /stream HTTP/1.1\r\nHost: x\r\n\r\n');
  await until(() => waiting.length === 1);
  made.socket.resetAndDestroy();
  // Another one is served meanwhile: the reset has been seen by then.
  const other = client(port);
  for (let n = 1; n <= 5; n += 1) {
    other.socket.write('GET /fast HTTP/1.1\r\nHost: x\r\n\r\n');
    await until(() => count(other.text, '/fast') === n);
  }
  waiting[0]!.send(200, 'slow\n');
  expect(asked.filter((each) => each !== '/fast')).toEqual(['/slow']);
});
