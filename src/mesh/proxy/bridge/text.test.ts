/** What crosses from HTTP/2 to HTTP/1.1 is one request with the same fields, whatever the fields are. */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Head } from '../protocol/http1/head.ts';
import { parseRequestHead } from '../protocol/http1/parse.ts';
import { Field } from '../protocol/http2/field.ts';
import { DEFAULT_HTTP2_LIMITS } from '../protocol/http2/limits.ts';
import { FieldList } from '../protocol/http2/list.ts';
import { requestText, upgradeText } from './text.ts';

const any = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
  maxLength: 12,
});
const nasty = fc.constantFrom('a\r\nHost: b', 'x\n', ' x', 'x\0', 'a, b', '/a b', '/\r\n\r\nGET /', '', '*');
const value = fc.oneof(
  any,
  nasty,
  fc.constantFrom('chunked', '5', 'close', 'websocket', '/ok?x=1', 'web:80'),
);
const name = fc.oneof(
  any,
  fc.constantFrom(
    'x-a',
    'cookie',
    'host',
    'te',
    'content-length',
    'transfer-encoding',
    'connection',
    'upgrade',
    'X-B',
  ),
);
const fields = fc.array(fc.tuple(name, value), { maxLength: 6 });
const target = fc.oneof(value, fc.constant('/'), fc.constant('/chat'));
const authority = fc.oneof(value, fc.constant('web'));

test.each([false, true])('an extended CONNECT: %s', (extended) => {
  let passed = 0;
  fc.assert(
    fc.property(
      target,
      authority,
      fields,
      fc.constantFrom('websocket', 'bytes'),
      (path, host, more, protocol) => {
        const list = new FieldList(DEFAULT_HTTP2_LIMITS);
        list.begin(true);
        const all: [string, string][] = [
          [':method', extended ? 'CONNECT' : 'POST'],
          [':scheme', 'http'],
          [':path', path],
          [':authority', host],
          ...(extended ? [[':protocol', protocol] as [string, string]] : []),
          ...more,
        ];
        for (const [each, its] of all) list.add(new Field(each, its));
        // What HTTP/2 itself refuses goes nowhere.
        if (list.requestProblem() !== undefined || list.overflow) return;
        passed += 1;
        const text = extended ? upgradeText(list, 'a2V5') : requestText(list, list.contentLength < 0);
        const bytes = Buffer.from(text, 'latin1');
        const head = new Head();
        const after = parseRequestHead(head, bytes, 0, bytes.length, false);
        // Refused by the strict parser, or one head and nothing behind it.
        if (after <= 0) return expect(after).toBeLessThan(0);
        expect(after).toBe(bytes.length);
        expect([head.method(bytes), head.target(bytes)]).toEqual([extended ? 'GET' : 'POST', path]);
        const names = Array.from({ length: head.count }, (_, n) => head.field(bytes, n)[0]);
        expect(names.filter((each) => each === 'host').length).toBe(1);
        expect(names.filter((each) => each === 'upgrade').length).toBe(extended ? 1 : 0);
      },
    ),
    { numRuns: 3_000 },
  );
  expect(passed).toBeGreaterThan(50);
});
