import { expect, test } from '@jest/globals';
import { loadKoffi } from '../../../../lib/koffi.ts';
import { Region } from './memory.ts';
import { type Late, Outbox } from './outbox.ts';

const koffi = loadKoffi();
const here = 'reason' in koffi ? test.skip : test;
const make = (size: number, threw: (thrown: unknown) => void = () => {}) => {
  if ('reason' in koffi) throw new Error(koffi.reason);
  return new Outbox(new Region(koffi, size), threw);
};

/** Remembers what it sent. */
class Writer implements Late {
  late = 0;
  lateAt = 0;
  readonly sent: string[] = [];
  readonly outbox: Outbox;
  error: Error | undefined;

  constructor(outbox: Outbox) {
    this.outbox = outbox;
  }

  write(text: string): boolean {
    return this.outbox.put(this, Buffer.from(`${text}rest`), text.length);
  }

  sendLate(): void {
    if (this.late === 0) return;
    this.sent.push(this.outbox.bytesOf(this, 0, this.late).toString());
    this.late = 0;
    if (this.error) throw this.error;
  }
}

here('what one writes in a row is one piece; in between others it has to be sent first', () => {
  const outbox = make(1_024);
  const [a, b] = [new Writer(outbox), new Writer(outbox)];
  expect([a.write('one '), a.write('two'), b.write('other'), a.write('three')]).toEqual([
    true,
    true,
    true,
    false,
  ]);
  a.sendLate();
  expect(a.write('three')).toBe(true);
  outbox.send();
  outbox.send();
  expect(a.sent).toEqual(['one two', 'three']);
  expect(b.sent).toEqual(['other']);
});

here('takes no more than there is room for, and has all of it again afterwards', () => {
  const outbox = make(20_000);
  const [a, b] = [new Writer(outbox), new Writer(outbox)];
  expect(a.write('x'.repeat(8_193))).toBe(false);
  expect([a.write('x'.repeat(8_192)), b.write('y'.repeat(8_192)), b.write('z'.repeat(8_192))]).toEqual([
    true,
    true,
    false,
  ]);
  outbox.send();
  expect(b.write('z'.repeat(8_192))).toBe(true);
  outbox.send();
  expect(b.sent.map(({ length }) => length)).toEqual([8_192, 8_192]);
});

here('one that fails holds up nobody', () => {
  const thrown: unknown[] = [];
  const outbox = make(1_024, (error) => thrown.push(error));
  const [a, b] = [new Writer(outbox), new Writer(outbox)];
  a.error = new Error('no more memory');
  a.write('a');
  b.write('b');
  outbox.send();
  expect(thrown).toEqual([a.error]);
  expect(b.sent).toEqual(['b']);
});
