import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { clientHello } from './client-hello.ts';

/** The first bytes that Node's own TLS sends. */
async function hello(options: tls.ConnectionOptions): Promise<Buffer> {
  const server = net.createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as net.AddressInfo;
  const client = tls.connect({ ...options, port, host: '127.0.0.1' });
  client.on('error', () => {});
  const [socket] = (await once(server, 'connection')) as [net.Socket];
  const [first] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  return first;
}

/** The same message in records of at most `size` bytes (RFC 8446, section 5.1). */
function recut(bytes: Buffer, size: number): Buffer {
  const message = bytes.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const part = message.subarray(at, at + size);
    const head = Buffer.from([22, 3, 1, 0, 0]);
    head.writeUInt16BE(part.length, 3);
    records.push(head, part);
  }
  return Buffer.concat(records);
}

const NAME = 'web.shop.weir.local';
const named = await hello({ servername: NAME, ALPNProtocols: ['weir-lanes'] });

test('names the server, or none', async () => {
  expect(clientHello(named)).toEqual({ name: NAME });
  expect(clientHello(await hello({ servername: NAME, maxVersion: 'TLSv1.2' }))).toEqual({ name: NAME });
  expect(clientHello(await hello({}))).toEqual({ name: '' });
  expect(clientHello(Buffer.from('GET / HTTP/1.1\r\n'))).toBe('none');
});

test('however it is cut, it says more until all is there, and then the same', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 600 }), fc.nat(2_000), (size, at) => {
      const bytes = recut(named, size);
      expect(clientHello(bytes)).toEqual({ name: NAME });
      if (at < bytes.length) expect(clientHello(bytes.subarray(0, at))).toBe('more');
    }),
  );
});

test('whatever the bytes are, it answers', () => {
  const mutated = fc.tuple(fc.nat(named.length - 1), fc.nat(255)).map(([at, value]) => {
    const copy = Buffer.from(named);
    copy[at] = value;
    return copy;
  });
  const random = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from([22, 3, 1, ...bytes]));
  fc.assert(
    fc.property(fc.oneof(mutated, random), (bytes) => {
      const said = clientHello(bytes);
      expect(said === 'more' || said === 'none' || typeof said.name === 'string').toBe(true);
    }),
    { numRuns: 2_000 },
  );
});
