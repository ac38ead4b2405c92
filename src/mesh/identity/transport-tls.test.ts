/** What every transport owes the protocols above it: mutual TLS. */
import { once } from 'node:events';
import net from 'node:net';
import { describe, expect, test } from '@jest/globals';
import {
  cleanups,
  connecting,
  listening,
  onBoth,
  pattern,
  pour,
  Recorder,
  rawClient,
} from '../proxy/transport/contract-fixtures.ts';
import { until } from '../proxy/until-fixtures.ts';
import { createRequest } from './client/csr.ts';
import {
  as,
  authority,
  Changing,
  echoing,
  foreign,
  material,
  rawTls,
  someone,
  spiffe,
  WEB,
} from './tls-fixtures.ts';

onBoth((make) => {
  describe('identity', () => {
    test('both sides know who the other is, and what they speak', async () => {
      const { next, port } = await listening(make(as('web')), {
        tls: 'required',
        alpn: ['weir-h2', 'http/1.1'],
      });
      const client = connecting(make(as('client')), port, { ...WEB, alpn: ['http/1.1', 'weir-h2'] });
      client.connection.write(Buffer.from('hello'));
      const server = await next();
      await until(() => server.text === 'hello');
      const { connection } = server;
      expect([connection.secure, connection.peerIdentity, connection.alpn]).toEqual([
        true,
        spiffe('client'),
        'weir-h2',
      ]);
      const mine = client.connection;
      expect([mine.secure, mine.peerIdentity, mine.alpn]).toEqual([true, spiffe('web'), 'weir-h2']);
      expect([client.events, server.events]).toEqual([['open'], ['data']]);
    });

    test('a peer that proves another identity is refused before a byte is sent', async () => {
      const { peers, port } = await listening(make(as('web')), { tls: 'required' });
      const client = connecting(make(as('client')), port, { identity: spiffe('other') });
      client.connection.write(Buffer.from('secret'));
      await until(() => client.closed);
      expect(client.events).toEqual(['close']);
      expect(client.error?.message).toBe(`the peer proved ${spiffe('web')}, expected ${spiffe('other')}`);
      await until(() => peers.every(({ closed, events }) => closed || events.includes('end')));
      expect(peers.map(({ text }) => text).join('')).toBe('');
    });

    test('a server of another authority is refused', async () => {
      const { peers, port } = await listening(make(new Changing(await material('web', foreign))), {
        tls: 'required',
      });
      const client = connecting(make(as('client')), port, WEB);
      await until(() => client.closed);
      expect(client.events).toEqual(['close']);
      expect(client.error?.message).toMatch(/certificate/);
      expect(peers).toEqual([]);
    });

    test('clients without a certificate, of another authority, of an old protocol, or nobody of the mesh', async () => {
      const { peers, port } = await listening(make(as('web')), { tls: 'required' }, echoing);
      const ca = authority.bundle;
      const { key, cert } = someone.get('client')!;
      const other = await material('client', foreign);
      const request = createRequest();
      const stranger = await authority.signRequest(request.csr, {
        spiffe: 'https://elsewhere.example/',
        dns: 'elsewhere.example',
      });
      for (const options of [
        { ca },
        { ca, key: other.key, cert: other.cert },
        { ca, key, cert, maxVersion: 'TLSv1.2' as const },
        { ca, key: request.key, cert: stranger.certificate },
      ]) {
        const { answered } = await rawTls(port, options);
        expect(answered).toBe(false);
      }
      expect(peers).toEqual([]);
      expect((await rawTls(port, { ca, key, cert })).answered).toBe(true);
      expect(peers.length).toBe(1);
    });
  });

  test('protocols: none in common is refused, none offered is not', async () => {
    const { port } = await listening(make(as('web')), { tls: 'required', alpn: ['weir-h2'] }, echoing);
    const { key, cert, trust } = someone.get('client')!;
    const common = { key, cert, ca: trust };
    expect((await rawTls(port, { ...common, ALPNProtocols: ['spdy/1'] })).answered).toBe(false);
    const without = await rawTls(port, common);
    expect([without.answered, without.socket.alpnProtocol]).toEqual([true, false]);
    const agreed = await rawTls(port, { ...common, ALPNProtocols: ['spdy/1', 'weir-h2'] });
    expect([agreed.answered, agreed.socket.alpnProtocol]).toEqual([true, 'weir-h2']);
  });

  test('permissive: the first byte decides', async () => {
    const { next, port } = await listening(make(as('web')), { tls: 'permissive' }, echoing);
    const plain = await rawClient(port);
    plain.write('P');
    const first = await next();
    await until(() => first.text === 'P');
    expect([first.connection.secure, first.connection.peerIdentity]).toEqual([false, undefined]);
    const secure = connecting(make(as('client')), port, WEB);
    secure.connection.write(Buffer.from('S'));
    const second = await next();
    await until(() => secure.text === 'S');
    expect([second.connection.secure, second.connection.peerIdentity]).toEqual([true, spiffe('client')]);
  });

  test('offered: whoever has read the first bytes may begin TLS with them', async () => {
    const transport = make(as('web'));
    if (!transport.intercepts) return;
    const inside: Recorder[] = [];
    let failed = 0;
    const { peers, port } = await listening(transport, { tls: 'offered', handshakeTimeout: 300 }, (outer) => {
      let first: Buffer = Buffer.alloc(0);
      outer.on.data = (chunk) => {
        first = Buffer.concat([first, chunk]);
        if (first[0] !== 0x16) return void outer.connection.write(chunk);
        if (first.length < 6) return;
        outer.connection.startTls!(outer.connection.keep(first), (connection) => {
          if (!connection) {
            failed += 1;
            return undefined;
          }
          const recorder = new Recorder();
          recorder.connection = connection;
          inside.push(recorder);
          echoing(recorder);
          return recorder;
        });
      };
    });
    const plain = await rawClient(port);
    plain.write('plain');
    const [echo] = (await once(plain, 'data')) as [Buffer];
    expect(echo.toString()).toBe('plain');

    const client = connecting(make(as('client')), port, WEB);
    client.connection.write(Buffer.from('through'));
    await until(() => client.text === 'through');
    expect([inside[0]!.connection.secure, inside[0]!.connection.peerIdentity]).toEqual([
      true,
      spiffe('client'),
    ]);
    // The one outside hears no more; what ends it ends the one inside.
    const outer = peers[1]!;
    expect(outer.events).toEqual(['data']);
    outer.connection.destroy();
    await until(() => inside[0]!.closed);
    expect([inside[0]!.count('close'), outer.events]).toEqual([1, ['data']]);

    // Broken, silent in the middle, and called off: each is told once.
    const broken = await rawClient(port);
    broken.write(Buffer.from('\x16\x03\x01\x00\x05hello', 'latin1'));
    await until(() => failed === 1);
    const silent = await rawClient(port);
    silent.write(Buffer.from('\x16\x03\x01\x02\x00\x01', 'latin1'));
    await until(() => failed === 2);
    const off = await rawClient(port);
    off.write(Buffer.from('\x16\x03\x01\x02\x00\x01', 'latin1'));
    await until(() => peers.length === 5 && peers[4]!.size > 0);
    peers[4]!.connection.destroy();
    await until(() => failed === 3);
    expect(inside.length).toBe(1);
    expect(peers[0]!.connection.originalDestination!()).toBeUndefined();
  });

  describe('the handshake', () => {
    test('of somebody who says nothing, or not enough, ends at its deadline', async () => {
      for (const mode of ['required', 'permissive'] as const) {
        const { peers, port } = await listening(make(as('web')), { tls: mode, handshakeTimeout: 200 });
        const [silent, slow] = [await rawClient(port), await rawClient(port)];
        slow.write(Buffer.from([0x16, 0x03]));
        for (const socket of [silent, slow]) {
          socket.resume();
          await until(() => socket.readableEnded || socket.destroyed);
        }
        expect(peers).toEqual([]);
      }
    });

    test('that is no handshake at all, or breaks off, harms nobody', async () => {
      const transport = make(as('web'));
      const { peers, port } = await listening(transport, { tls: 'required' }, echoing);
      for (const bytes of ['GET / HTTP/1.1\r\n\r\n', '\x16\x03\x01\x00\x05hello', '\x16\x03\x01\xff\xff']) {
        const socket = await rawClient(port);
        socket.resume();
        socket.end(Buffer.from(bytes, 'latin1'));
        await until(() => socket.readableEnded || socket.destroyed);
      }
      const hello = net.connect(port, '127.0.0.1');
      await once(hello, 'connect');
      hello.write(Buffer.from('\x16\x03\x01\x02\x00\x01', 'latin1'));
      hello.resetAndDestroy();
      expect(peers).toEqual([]);
      const client = connecting(make(as('client')), port, WEB);
      client.connection.write(Buffer.from('fine'));
      await until(() => client.text === 'fine');
    });

    test('with a server that speaks no TLS, or goes, is an error', async () => {
      const transport = make(as('client'));
      for (const act of ['speak', 'end', 'reset'] as const) {
        const server = net.createServer((socket) => {
          socket.on('error', () => {});
          socket.once('data', () => {
            if (act === 'speak') socket.write('HTTP/1.1 400 Bad Request\r\n\r\n');
            else if (act === 'end') socket.end();
            else socket.resetAndDestroy();
          });
        });
        await once(server.listen(0, '127.0.0.1'), 'listening');
        cleanups.push(() => void server.close());
        const client = connecting(transport, (server.address() as net.AddressInfo).port, WEB);
        await until(() => client.closed);
        expect([client.count('open'), client.events.at(-1), client.count('close')]).toEqual([0, 'close', 1]);
        expect(client.error).toBeDefined();
      }
    });

    test('may be called off', async () => {
      const { port } = await listening(make(as('web')), { tls: 'required' });
      const transport = make(as('client'));
      for (let n = 0; n < 20; n += 1) {
        const client = connecting(transport, port, WEB);
        for (let turn = 0; turn < n % 5; turn += 1) await new Promise(setImmediate);
        client.connection.destroy();
        await until(() => client.closed);
        expect([client.count('close'), client.error]).toEqual([1, undefined]);
      }
    });
  });

  describe('credentials', () => {
    test('that are not there yet: connecting is an error, a listener waits for them', async () => {
      const [server, mine] = [new Changing(), new Changing()];
      const { port } = await listening(make(server), { tls: 'required' }, echoing);
      const transport = make(mine);
      const early = connecting(transport, port, WEB);
      expect(early.events).toEqual([]);
      await until(() => early.closed);
      expect(early.error?.message).toMatch(/no certificate yet/);
      mine.rotate(someone.get('client')!);
      const refused = connecting(transport, port, WEB);
      await until(() => refused.closed);
      expect(refused.count('open')).toBe(0);
      server.rotate(someone.get('web')!);
      const client = connecting(transport, port, WEB);
      client.connection.write(Buffer.from('now'));
      await until(() => client.text === 'now');
    });

    test('change without a connection being dropped, and those after it use the new ones', async () => {
      const [server, mine] = [as('web'), as('client')];
      const { next, port } = await listening(make(server), { tls: 'required' }, echoing);
      const transport = make(mine);
      const before = connecting(transport, port, WEB);
      before.connection.write(Buffer.from('a'));
      await until(() => before.text === 'a');
      await next();
      const [web, client] = [await material('web', foreign), await material('client', foreign)];
      server.rotate(web);
      // The new trust does not know the old authority: whoever still shows its certificate is refused.
      const stale = connecting(transport, port, WEB);
      await until(() => stale.closed || stale.events.includes('end'));
      mine.rotate(client);
      const after = connecting(transport, port, WEB);
      after.connection.write(Buffer.from('b'));
      await until(() => after.text === 'b');
      before.connection.write(Buffer.from('c'));
      await until(() => before.text === 'ac');
      const { socket } = await rawTls(port, { key: client.key, cert: client.cert, ca: client.trust });
      expect(socket.getPeerX509Certificate()?.toString()).toBe(
        web.cert.slice(0, web.cert.indexOf('-----END') + 26),
      );
    });
  });

  describe('bytes', () => {
    test('two MiB each way at once, half-closed and all', async () => {
      const { next, port } = await listening(make(as('web')), { tls: 'required' });
      const client = connecting(make(as('client')), port, WEB);
      const [up, down] = [pattern(2 * 1_048_576, 7), pattern(2 * 1_048_576, 9)];
      pour(client, up, () => client.connection.end());
      const server = await next();
      pour(server, down, () => {}, 200_000);
      await until(() => server.events.includes('end') && client.size === down.length);
      expect(Buffer.concat(server.chunks).equals(up)).toBe(true);
      expect(Buffer.concat(client.chunks).equals(down)).toBe(true);
      server.connection.write(Buffer.from('after the end'));
      await until(() => client.size === down.length + 13);
      server.connection.end();
      await until(() => client.closed && server.closed);
      expect([client.error, server.error]).toEqual([undefined, undefined]);
    });

    test('a reader that does not read stops the writer, and loses nothing', async () => {
      const { next, port } = await listening(make(as('web')), { tls: 'required' });
      const client = connecting(make(as('client')), port, WEB);
      client.connection.write(Buffer.from('x'));
      const server = await next();
      await until(() => server.text === 'x');
      client.connection.pause();
      const sent: Buffer[] = [];
      let more = true;
      for (let n = 1; more && n < 2_000; n += 1) {
        const piece = pattern(40_000, n);
        sent.push(Buffer.from(piece));
        more = server.connection.write(piece);
      }
      expect(more).toBe(false);
      server.connection.finish();
      client.connection.resume();
      await until(() => client.events.includes('end') || client.closed);
      expect(Buffer.concat(client.chunks).equals(Buffer.concat(sent))).toBe(true);
    });

    test('pausing inside `data` holds back the next, also of what is decrypted already', async () => {
      const { next, port } = await listening(make(as('web')), { tls: 'required' });
      const client = connecting(make(as('client')), port, WEB);
      client.connection.write(Buffer.from('x'));
      const server = await next();
      await until(() => server.text === 'x');
      client.on.data = () => client.connection.pause();
      pour(server, pattern(500_000), () => server.connection.finish());
      let pieces = 0;
      while (client.size < 500_000) {
        await until(() => client.chunks.length === pieces + 1);
        pieces += 1;
        await new Promise(setImmediate);
        expect(client.chunks.length).toBe(pieces);
        client.connection.resume();
      }
      await until(() => client.events.includes('end') || client.closed);
    });
  });

  test('many that end in every way close once each', async () => {
    const web = make(as('web'));
    const mine = make(as('client'));
    const { peers, port } = await listening(web, { tls: 'permissive' }, echoing);
    const clients: Recorder[] = [];
    const raws: net.Socket[] = [];
    for (let n = 0; n < 60; n += 1) {
      const way = n % 6;
      if (way === 5) {
        const raw = net.connect({ port, host: '127.0.0.1' }, () => {
          raw.write('\x16\x03\x01');
          raw.resetAndDestroy();
        });
        raw.on('error', () => {});
        raws.push(raw);
        continue;
      }
      const client = connecting(mine, port, way === 4 ? { identity: spiffe('other') } : WEB);
      clients.push(client);
      client.connection.write(Buffer.from('ping'));
      if (way === 0) client.connection.finish();
      if (way === 1) client.connection.end();
      if (way === 2) client.on.open = () => client.connection.destroy();
      if (way === 3) client.on.data = () => client.connection.destroy();
    }
    await until(() => clients.every(({ closed }) => closed) && raws.every(({ destroyed }) => destroyed));
    await until(() => peers.every(({ closed }) => closed));
    for (const each of [...clients, ...peers]) expect(each.count('close')).toBe(1);
  });
});
