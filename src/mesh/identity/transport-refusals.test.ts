/** What every transport says of clients whose TLS handshake came to nothing. */
import { describe, expect, test } from '@jest/globals';
import { connecting, listening, onBoth, Recorder, rawClient } from '../proxy/transport/contract-fixtures.ts';
import type { Refusal } from '../proxy/transport/refusal.ts';
import type { ListenOptions, Transport } from '../proxy/transport/types.ts';
import { until } from '../proxy/until-fixtures.ts';
import { createRequest } from './client/csr.ts';
import { as, authority, Changing, echoing, foreign, material, rawTls, someone, WEB } from './tls-fixtures.ts';

/** A listener and what it refuses. */
async function refusing(
  transport: Transport,
  options: Partial<ListenOptions>,
  each: (recorder: Recorder) => void = echoing,
) {
  const refusals: Refusal[] = [];
  const { port } = await listening(
    transport,
    { ...options, refused: (refusal) => void refusals.push(refusal) },
    each,
  );
  const next = async (): Promise<Refusal> => {
    await until(() => refusals.length > 0);
    return refusals.shift()!;
  };
  return { port, next, refusals };
}

onBoth((make) => {
  describe.each(['required', 'permissive'] as const)(
    '%s: a refused client is told of, with its cause',
    (tls) => {
      test('by its certificate, its identity, its protocol', async () => {
        const { port, next, refusals } = await refusing(make(as('web')), { tls, alpn: ['weir-h2'] });
        const ca = authority.bundle;
        const { key, cert } = someone.get('client')!;
        const other = await material('client', foreign);
        const request = createRequest();
        const stranger = await authority.signRequest(request.csr, {
          spiffe: 'https://elsewhere.example/',
          dns: 'elsewhere.example',
        });
        for (const [cause, detail, options] of [
          ['certificate', /./, { ca }],
          ['certificate', /certificate|UNABLE|SELF_SIGNED/i, { ca, key: other.key, cert: other.cert }],
          ['identity', /no SPIFFE id/, { ca, key: request.key, cert: stranger.certificate }],
          ['protocol', /protocol/i, { ca, key, cert, maxVersion: 'TLSv1.2' as const }],
          ['protocol', /protocol/i, { ca, key, cert, ALPNProtocols: ['spdy/1'] }],
        ] as const) {
          await rawTls(port, options as Parameters<typeof rawTls>[1]);
          expect(await next()).toEqual({ cause, peer: '127.0.0.1', detail: expect.stringMatching(detail) });
        }
        await rawTls(port, { ca, key, cert });
        expect(refusals).toEqual([]);
      });

      test('that goes in the middle, or takes too long; one that says nothing has begun none', async () => {
        const { port, next, refusals } = await refusing(make(as('web')), { tls, handshakeTimeout: 200 });
        const silent = await rawClient(port);
        silent.resume();
        (await rawClient(port)).end();
        for (const [cause, act] of [
          ['gone', (socket: Awaited<ReturnType<typeof rawClient>>) => void socket.resetAndDestroy()],
          ['timeout', () => {}],
        ] as const) {
          const socket = await rawClient(port);
          socket.resume();
          socket.write(Buffer.from('\x16\x03\x01\x02\x00\x01', 'latin1'), () => act(socket));
          // A reset may be there before the connection is accepted: then nobody knows whose it was.
          expect(await next()).toMatchObject({ cause, ...(cause === 'gone' ? {} : { peer: '127.0.0.1' }) });
        }
        await until(() => silent.readableEnded || silent.destroyed);
        expect(refusals).toEqual([]);
      });

      test('when there is no certificate yet, or there are too many', async () => {
        const { port, next } = await refusing(make(new Changing()), { tls, guests: 2 });
        connecting(make(as('client')), port, WEB);
        expect(await next()).toMatchObject({ cause: 'no-certificate', peer: '127.0.0.1' });
        for (let n = 0; n < 3; n += 1) await rawClient(port);
        expect(await next()).toMatchObject({ cause: 'too-many', peer: '127.0.0.1' });
      });
    },
  );

  test('offered: no more at a time may have begun one than elsewhere; who goes makes room', async () => {
    const transport = make(as('web'));
    if (!transport.intercepts) return;
    let failed = 0;
    const options = { tls: 'offered' as const, guests: 2, handshakeTimeout: 60_000 };
    const { port, next, refusals } = await refusing(transport, options, (outer) => {
      outer.on.data = (chunk) =>
        outer.connection.startTls!(outer.connection.keep(chunk), (inside) => {
          if (!inside) failed += 1;
          const recorder = new Recorder();
          if (inside) recorder.connection = inside;
          echoing(recorder);
          return recorder;
        });
    });
    const begun = async () => {
      const socket = await rawClient(port);
      socket.resume();
      socket.write(Buffer.from('\x16\x03\x01\x02\x00\x01', 'latin1'));
      return socket;
    };
    const first = await begun();
    await begun();
    await begun();
    expect(await next()).toMatchObject({ cause: 'too-many', peer: '127.0.0.1' });
    await until(() => failed === 1);
    first.resetAndDestroy();
    expect(await next()).toMatchObject({ cause: 'gone' });
    // Those that get through make room, too.
    for (let n = 0; n < 3; n += 1) {
      const client = connecting(make(as('client')), port, WEB);
      client.connection.write(Buffer.from('through'));
      await until(() => client.text === 'through');
    }
    expect([refusals, failed]).toEqual([[], 2]);
  });

  test('offered: the same for a handshake that is begun later', async () => {
    const transport = make(as('web'));
    if (!transport.intercepts) return;
    const { port, next } = await refusing(transport, { tls: 'offered' }, (outer) => {
      outer.on.data = (chunk) => outer.connection.startTls!(outer.connection.keep(chunk), () => undefined);
    });
    const other = await material('client', foreign);
    await rawTls(port, { ca: authority.bundle, key: other.key, cert: other.cert });
    expect(await next()).toMatchObject({ cause: 'certificate', peer: '127.0.0.1' });
  });
});
