import { expect, test } from '@jest/globals';
import pino from 'pino';
import { createTransport } from './choose.ts';
import { PortableTransport } from './portable/portable.ts';
import { ReactorTransport, reactorMachine } from './reactor/reactor.ts';

/** A logger and what it has written. */
function recorded() {
  const lines: { level: number; reason?: string; transport?: string; wanted?: string }[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) });
  return { log, lines };
}

const here = 'reason' in reactorMachine() ? PortableTransport : ReactorTransport;

test('the reactor where it can run, unless the portable transport is asked for', () => {
  const { log, lines } = recorded();
  expect(createTransport({ log })).toBeInstanceOf(here);
  expect(createTransport({ log, wanted: 'reactor' })).toBeInstanceOf(here);
  expect(createTransport({ log, wanted: 'portable' })).toBeInstanceOf(PortableTransport);
  expect(lines.at(-1)).toMatchObject({ transport: 'portable', reason: 'WEIR_TRANSPORT asks for it' });
});

test('where it cannot run, the log says why', () => {
  const { log, lines } = recorded();
  const machine = () => ({ reason: 'koffi cannot be loaded: no such file' });
  expect(createTransport({ log, machine })).toBeInstanceOf(PortableTransport);
  expect(lines).toEqual([
    expect.objectContaining({
      level: 40,
      transport: 'portable',
      reason: 'koffi cannot be loaded: no such file',
    }),
  ]);
});

test('a name that is none is told, and changes nothing', () => {
  const { log, lines } = recorded();
  expect(createTransport({ log, wanted: 'epoll' })).toBeInstanceOf(here);
  expect(lines[0]).toMatchObject({ level: 40, wanted: 'epoll' });
});
