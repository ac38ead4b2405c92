import { once } from 'node:events';
import net from 'node:net';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  originalDestination,
  parseSocketAddress,
  prepareOriginalDestination,
} from './original-destination.ts';

test('socket addresses of both families, written as the rest of the mesh writes them', () => {
  const ipv4 = Buffer.from([2, 0, 0x1f, 0x90, 10, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  expect(parseSocketAddress(ipv4)).toEqual({ host: '10.96.0.1', port: 8080 });
  const ipv6 = Buffer.alloc(28);
  ipv6.set([10, 0, 0x1f, 0x90, 0, 0, 0, 0, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0a]);
  expect(parseSocketAddress(ipv6)).toEqual({ host: 'fd00::a', port: 8080 });
  expect(parseSocketAddress(Buffer.alloc(28))).toBeUndefined();
});

test('any IPv6 address comes out in its canonical form', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      const { host } = parseSocketAddress(Buffer.from([10, 0, 0, 80, 0, 0, 0, 0, ...bytes, 0, 0, 0, 0]))!;
      expect(net.isIPv6(host)).toBe(true);
      expect(new net.SocketAddress({ address: host, family: 'ipv6' }).address).toBe(host);
    }),
  );
});

const reason = prepareOriginalDestination();
(reason === undefined ? test : test.skip)(
  'a connection that nothing redirected has none but its own',
  async () => {
    const server = net.createServer();
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as net.AddressInfo;
    const client = net.connect(port, '127.0.0.1');
    const [socket] = (await once(server, 'connection')) as [net.Socket & { _handle: { fd: number } }];
    // Where the kernel tracks connections it knows this one, otherwise it says that it does not.
    const found = originalDestination(socket._handle.fd, socket.remoteAddress!);
    expect([undefined, { host: '127.0.0.1', port }]).toContainEqual(found);
    client.destroy();
    socket.destroy();
    server.close();
  },
);
