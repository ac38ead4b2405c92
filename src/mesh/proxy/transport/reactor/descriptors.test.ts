/** What happens when the process has no file descriptors left. */
import { spawn } from 'node:child_process';
import net from 'node:net';
import { expect, test } from '@jest/globals';
import { until } from '../../until-fixtures.ts';
import { reactorMachine } from './reactor.ts';

const here = 'reason' in reactorMachine() ? test.skip : test;

/** A process that echoes and may open sixty files; says its port, then how many turns it took. */
const PROGRAM = `
import { ReactorTransport, reactorMachine } from '${new URL('./reactor.ts', import.meta.url).href}';
const machine = reactorMachine();
const transport = new ReactorTransport(machine);
const options = { host: '127.0.0.1', port: 0, tls: 'off', handshakeTimeout: 1000 };
const listener = await transport.listen(options, (connection) => ({
  data: (chunk) => connection.write(chunk),
  drain: () => {},
  end: () => connection.finish(),
  close: () => {},
}));
console.log(listener.port);
process.stdin.on('data', () => console.log(machine.loop.turns + ' ' + machine.loop.counts.sockets));
process.stdin.on('end', () => process.exit());
`;

here('connections beyond the limit are closed at once, the others go on, and nothing spins', async () => {
  const run = `ulimit -n 60; exec "$0" --input-type=module -e "$1"`;
  const child = spawn('/bin/sh', ['-c', run, process.execPath, PROGRAM], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const sockets: net.Socket[] = [];
  try {
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    const line = async () => {
      await until(() => said.includes('\n'));
      const at = said.indexOf('\n');
      const first = said.slice(0, at);
      said = said.slice(at + 1);
      return first;
    };
    const port = Number(await line());
    const gone = new Set<net.Socket>();
    const echoed = new Set<net.Socket>();
    const call = () => {
      const socket = net.connect(port, '127.0.0.1');
      sockets.push(socket);
      socket.on('error', () => {});
      socket.on('data', () => echoed.add(socket));
      for (const event of ['end', 'close']) socket.on(event, () => gone.add(socket));
      socket.write('x');
      return socket;
    };
    for (let n = 0; n < 100; n += 1) call();
    await until(() => gone.size + echoed.size >= 100);
    expect(gone.size).toBeGreaterThan(30);
    expect(echoed.size).toBeGreaterThan(10);
    child.stdin.write('?');
    const [turns] = (await line()).split(' ').map(Number) as [number, number];
    expect(turns).toBeLessThan(1_000);
    // With room again, there is service again.
    for (const socket of sockets) socket.destroy();
    let last = call();
    while (!echoed.has(last)) {
      await until(() => echoed.has(last) || gone.has(last));
      if (!echoed.has(last)) last = call();
    }
  } finally {
    for (const socket of sockets) socket.destroy();
    child.kill();
  }
});
