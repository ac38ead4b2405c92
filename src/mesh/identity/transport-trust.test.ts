/** Trust that ends: removed roots, sessions taken up again, and clients that never prove who they are. */
import type net from 'node:net';
import tls from 'node:tls';
import { describe, expect, test } from '@jest/globals';
import {
  cleanups,
  connecting,
  listening,
  onBoth,
  type Recorder,
  rawClient,
} from '../proxy/transport/contract-fixtures.ts';
import { until } from '../proxy/until-fixtures.ts';
import { as, echoing, foreign, material, rawTls, someone, WEB } from './tls-fixtures.ts';

/** A client that offers `session` if there is one, and whether it was taken up again; all the sessions it was given. */
async function resuming(port: number, session?: Buffer) {
  const { key, cert, trust: ca } = someone.get('client')!;
  const sessions: Buffer[] = [];
  const socket = tls.connect({
    host: '127.0.0.1',
    port,
    checkServerIdentity: () => undefined,
    key,
    cert,
    ca,
    session,
  });
  cleanups.push(() => void socket.destroy());
  socket.on('error', () => {});
  socket.on('session', (each) => sessions.push(each));
  let answered = false;
  socket.on('data', () => {
    answered = true;
  });
  socket.write('x');
  await until(() => answered || socket.destroyed || socket.readableEnded);
  return { answered, reused: socket.isSessionReused(), session: sessions.at(-1) ?? socket.getSession() };
}

onBoth((make) => {
  describe('a root that is removed from trust', () => {
    test('no session is taken up again, so that its peers are refused from then on; connections stay', async () => {
      const server = as('web');
      const { port } = await listening(make(server), { tls: 'required' }, echoing);
      const before = connecting(make(as('client')), port, WEB);
      before.connection.write(Buffer.from('a'));
      await until(() => before.text === 'a');
      const first = await resuming(port);
      expect(first.answered).toBe(true);
      const again = await resuming(port, first.session);
      expect([again.answered, again.reused]).toEqual([true, false]);

      // The server's own certificate stays good to its clients; theirs is no longer good to it.
      const web = someone.get('web')!;
      server.rotate({ ...web, trust: (await material('web', foreign)).trust });
      expect((await resuming(port)).answered).toBe(false);
      expect((await resuming(port, first.session)).answered).toBe(false);
      const { key, cert } = await material('client', foreign);
      expect((await rawTls(port, { key, cert, ca: web.trust })).answered).toBe(true);
      before.connection.write(Buffer.from('b'));
      await until(() => before.text === 'ab');
    });

    test('servers of it are refused', async () => {
      const { port, peers } = await listening(make(as('web')), { tls: 'required' }, echoing);
      const mine = as('client');
      const transport = make(mine);
      const before = connecting(transport, port, WEB);
      before.connection.write(Buffer.from('a'));
      await until(() => before.text === 'a');
      mine.rotate({ ...someone.get('client')!, trust: (await material('web', foreign)).trust });
      const after = connecting(transport, port, WEB);
      await until(() => after.closed);
      expect([after.count('open'), after.error?.message]).toEqual([0, expect.stringMatching(/certificate/)]);
      expect(peers.length).toBe(1);
    });
  });

  test('keys and trust change under load: every connection is made, none is dropped', async () => {
    const [server, mine] = [as('web'), as('client')];
    const { port } = await listening(make(server), { tls: 'required' }, echoing);
    const transport = make(mine);
    const web = someone.get('web')!;
    const both = web.trust + (await material('web', foreign)).trust;
    const [newWeb, newClient] = [await material('web', foreign), await material('client', foreign)];
    // Both roots first, then the new certificates, one side after the other: as `weir identity rotate` does.
    const steps = [
      () => server.rotate({ ...web, trust: both }),
      () => mine.rotate({ ...someone.get('client')!, trust: both }),
      () => server.rotate({ ...newWeb, trust: both }),
      () => mine.rotate({ ...newClient, trust: both }),
      () => server.rotate(newWeb),
      () => mine.rotate(newClient),
    ];
    const all: Recorder[] = [];
    for (let n = 0; n < 60; n += 1) {
      if (n % 10 === 5) steps.shift()!();
      const client = connecting(transport, port, WEB);
      all.push(client);
      for (const each of all) each.connection.write(Buffer.from('x'));
      // Some handshakes are under way when the next change comes.
      if (n % 10 !== 4) await until(() => all.every((each, m) => each.closed || each.size === n - m + 1));
    }
    expect(steps.length).toBe(0);
    await until(() => all.every((each, m) => each.closed || each.size === 60 - m));
    expect(all.filter(({ closed }) => closed).map(({ error }) => error?.message)).toEqual([]);
  });

  test.each(['required', 'permissive'] as const)('%s: handshakes in progress are bounded', async (mode) => {
    const options = { tls: mode, guests: 4, handshakeTimeout: 60_000 };
    const { port } = await listening(make(as('web')), options, echoing);
    const silent: net.Socket[] = [];
    for (let n = 0; n < 4; n += 1) silent.push(await rawClient(port));
    const full = async () => {
      const socket = await rawClient(port);
      socket.resume();
      await until(() => socket.readableEnded || socket.destroyed);
    };
    await full();
    // One that goes makes room; one that is through its handshake takes none.
    silent.pop()!.resetAndDestroy();
    const clients = [];
    for (let n = 0; n < 8; n += 1) {
      const client = connecting(make(as('client')), port, WEB);
      client.connection.write(Buffer.from('x'));
      await until(() => client.closed || client.text === 'x');
      // That the other has gone is known a moment later.
      if (client.closed) n -= 1;
      else clients.push(client);
    }
    silent.push(await rawClient(port));
    await full();
    expect(clients.map(({ closed }) => closed)).toEqual(Array(8).fill(false));
  });
});
