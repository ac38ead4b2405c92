import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { loadKoffi } from './koffi.ts';
import { rereadable, returnMemory } from './return-memory.ts';

const entry = (head: string, anonymous: number) =>
  `${head}\nSize:               3352 kB\nRss:                3352 kB\nAnonymous:     ${anonymous} kB\nVmFlags: rd mr mw me sd\n`;

test('pages that are in a file as they are can be read again, and no others', () => {
  const smaps = [
    entry('00400000-00746000 r--p 00000000 fe:00 1234                       /usr/bin/node', 0),
    entry('0074a000-03044000 r-xp 00346000 fe:00 1234                       /usr/bin/node', 0),
    // Changed by the loader, then made read-only.
    entry('06b00000-06b56000 r--p 06700000 fe:00 1234                       /usr/bin/node', 344),
    entry('06b56000-06b7d000 rw-p 06756000 fe:00 1234                       /usr/bin/node', 0),
    entry('06b7d000-06bb6000 rw-p 00000000 00:00 0 ', 228),
    entry('30554000-3079e000 rw-p 00000000 00:00 0                          [heap]', 2200),
    entry('7f0000000000-7f0000010000 r-xp 00000000 00:00 0 ', 0),
    entry('7f3c57730000-7f3c577a4000 r--s 00000000 fe:00 99                 /shared', 0),
    entry('7ffd0e1f9000-7ffd0e1fb000 r-xp 00000000 00:00 0                  [vdso]', 0),
    entry('7f3c5742e000-7f3c5753e000 r-xp 00001000 fe:00 77                 /a folder/lib.so', 0),
  ].join('');
  expect(rereadable(smaps)).toEqual([
    { address: 0x400000, size: 0x346000 },
    { address: 0x74a000, size: 0x28fa000 },
    { address: 0x7f3c5742e000, size: 0x110000 },
  ]);
  expect(rereadable('')).toEqual([]);
});

test('what is given back comes back when it is used', () => {
  if ('reason' in loadKoffi()) return;
  const ofFiles = () => Number(/RssFile:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1]);
  const before = ofFiles();
  returnMemory(true);
  expect(ofFiles()).toBeLessThan(before * 0.8);
  returnMemory(false);
  // Code that nothing has run since, of V8, ICU and OpenSSL.
  expect(new Intl.NumberFormat('de').format(1234.5)).toBe('1.234,5');
  expect(JSON.parse(JSON.stringify({ a: [1, 'b'] }))).toEqual({ a: [1, 'b'] });
  expect(/(\p{Lu})/u.exec('xÄ')?.[1]).toBe('Ä');
});
