/** Our own functions that OpenSSL calls in the middle of a handshake: one that fails ends that handshake and nothing else. */
import { expect, test } from '@jest/globals';
import { cleanups, listening, onBoth } from '../proxy/transport/contract-fixtures.ts';
import { reactorMachine } from '../proxy/transport/reactor/reactor.ts';
import { until } from '../proxy/until-fixtures.ts';
import { as, echoing, rawTls, someone } from './tls-fixtures.ts';

const machine = reactorMachine();

onBoth((make) => {
  const reactor = 'reason' in machine ? undefined : machine;

  test('a choice of protocols that throws', async () => {
    const transport = make(as('web'));
    if (!reactor || !('counts' in transport)) return;
    const { port } = await listening(transport, { tls: 'required', alpn: ['weir-h2'] }, echoing);
    const { key, cert, trust } = someone.get('client')!;
    const peer = { key, cert, ca: trust, ALPNProtocols: ['weir-h2'] };
    const before = await rawTls(port, peer);
    expect([before.answered, before.socket.alpnProtocol]).toEqual([true, 'weir-h2']);

    const { call, report } = reactor.openssl;
    const { selectProtocol } = call;
    const reported: unknown[] = [];
    const restore = () => {
      call.selectProtocol = selectProtocol;
      reactor.openssl.report = report;
    };
    cleanups.push(restore);
    reactor.openssl.report = (thrown) => void reported.push(thrown);
    call.selectProtocol = () => {
      throw new Error('out of order');
    };
    for (let n = 0; n < 3; n += 1) expect((await rawTls(port, peer)).answered).toBe(false);
    expect(reported).toEqual(Array(3).fill(new Error('out of order')));
    restore();

    // Whoever was there before is still served, and so is who comes now.
    let more = false;
    before.socket.on('data', () => {
      more = true;
    });
    before.socket.write('y');
    await until(() => more);
    const after = await rawTls(port, peer);
    expect([after.answered, after.socket.alpnProtocol]).toEqual([true, 'weir-h2']);
  });

  test('a list of protocols that is not known', async () => {
    const transport = make(as('web'));
    if (!reactor || !('counts' in transport)) return;
    const { openssl } = reactor;
    const { report } = openssl;
    const { contextSelect } = openssl.call;
    cleanups.push(() => {
      openssl.call.contextSelect = contextSelect;
      openssl.report = report;
    });
    const reported: unknown[] = [];
    openssl.report = (thrown) => void reported.push(thrown);
    openssl.call.contextSelect = (context, selector) => contextSelect(context, selector, 4_096);
    const { port } = await listening(transport, { tls: 'required', alpn: ['weir-h2'] }, echoing);
    const { key, cert, trust } = someone.get('client')!;
    expect((await rawTls(port, { key, cert, ca: trust, ALPNProtocols: ['weir-h2'] })).answered).toBe(false);
    expect(reported).toEqual([expect.objectContaining({ message: expect.stringMatching(/is not known/) })]);
    // One that offers none is not asked to choose.
    expect((await rawTls(port, { key, cert, ca: trust })).answered).toBe(true);
  });
});
