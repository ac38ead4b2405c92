import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { HEAD_ERRORS, Head } from './head.ts';
import { parseRequestHead, parseResponseHead } from './parse.ts';
import { forwardHead } from './rewrite.ts';

const head = new Head();
const request = (text: string, strip = false) => {
  const buffer = Buffer.from(text, 'latin1');
  return parseRequestHead(head, buffer, 0, buffer.length, strip);
};
const response = (text: string) => {
  const buffer = Buffer.from(text, 'latin1');
  return parseResponseHead(head, buffer, 0, buffer.length, false);
};
const forward = (text: string, insert?: string) => {
  const buffer = Buffer.from(text, 'latin1');
  const after = parseRequestHead(head, buffer, 0, buffer.length, true);
  expect(after).toBeGreaterThan(0);
  const [first, second] = forwardHead(head, buffer, buffer.length, insert ? Buffer.from(insert) : undefined);
  return first.toString('latin1') + (second?.toString('latin1') ?? '');
};

const H = 'Host: a\r\n';
const refused: [string, string, keyof typeof HEAD_ERRORS][] = [
  ['RFC 9112 3: no target', 'GET HTTP/1.1\r\n\r\n', 'target'],
  ['RFC 9112 3: empty method', ` / HTTP/1.1\r\n${H}\r\n`, 'startLine'],
  ['RFC 9112 3: invalid method character', `G@T / HTTP/1.1\r\n${H}\r\n`, 'startLine'],
  ['RFC 9112 3: two spaces', `GET  / HTTP/1.1\r\n${H}\r\n`, 'startLine'],
  ['RFC 9112 3.2: control character in target', `GET /\x01 HTTP/1.1\r\n${H}\r\n`, 'target'],
  ['RFC 9112 3.2: byte above 127 in target', `GET /\xe9 HTTP/1.1\r\n${H}\r\n`, 'target'],
  ['RFC 9112 2.3: version', `GET / HTTP/2.0\r\n${H}\r\n`, 'version'],
  ['RFC 9112 2.3: case of the protocol', `GET / http/1.1\r\n${H}\r\n`, 'startLine'],
  ['RFC 9112 2.2: bare LF after the request line', `GET / HTTP/1.1\n${H}\r\n`, 'startLine'],
  ['RFC 9112 2.2: bare LF after a header', 'GET / HTTP/1.1\r\nHost: a\n\r\n', 'lineEnd'],
  ['RFC 9112 2.2: bare CR in a value', 'GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n', 'lineEnd'],
  ['RFC 9112 5.1: space before the colon', `GET / HTTP/1.1\r\n${H}X : a\r\n\r\n`, 'fieldName'],
  ['RFC 9112 5.2: obs-fold', `GET / HTTP/1.1\r\n${H}X: a\r\n b\r\n\r\n`, 'fieldName'],
  ['RFC 9110 5.1: empty name', `GET / HTTP/1.1\r\n${H}: a\r\n\r\n`, 'fieldName'],
  ['RFC 9110 5.5: NUL in a value', `GET / HTTP/1.1\r\n${H}X: a\0b\r\n\r\n`, 'fieldValue'],
  ['RFC 9112 3.2: no Host', 'GET / HTTP/1.1\r\n\r\n', 'host'],
  ['RFC 9112 3.2: two Hosts', `GET / HTTP/1.1\r\n${H}${H}\r\n`, 'host'],
  ['RFC 9112 3.2: invalid Host', 'GET / HTTP/1.1\r\nHost: a,b\r\n\r\n', 'host'],
  [
    'RFC 9112 6.3: different lengths',
    `POST / HTTP/1.1\r\n${H}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`,
    'length',
  ],
  [
    'RFC 9112 6.3: repeated length',
    `POST / HTTP/1.1\r\n${H}Content-Length: 1\r\nContent-Length: 1\r\n\r\n`,
    'length',
  ],
  ['RFC 9112 6.3: list of lengths', `POST / HTTP/1.1\r\n${H}Content-Length: 1, 1\r\n\r\n`, 'length'],
  ['RFC 9112 6.2: sign', `POST / HTTP/1.1\r\n${H}Content-Length: +1\r\n\r\n`, 'length'],
  ['RFC 9112 6.2: hexadecimal', `POST / HTTP/1.1\r\n${H}Content-Length: 0x1\r\n\r\n`, 'length'],
  ['RFC 9112 6.2: empty', `POST / HTTP/1.1\r\n${H}Content-Length:\r\n\r\n`, 'length'],
  ['RFC 9112 6.2: huge', `POST / HTTP/1.1\r\n${H}Content-Length: 99999999999999999999\r\n\r\n`, 'length'],
  [
    'RFC 9112 6.1: both framings',
    `POST / HTTP/1.1\r\n${H}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
    'encoding',
  ],
  [
    'RFC 9112 6.1: both framings, other order',
    `POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n`,
    'encoding',
  ],
  [
    'RFC 9112 6.1: repeated encoding',
    `POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`,
    'encoding',
  ],
  ['RFC 9112 6.1: HTTP/1.0', `POST / HTTP/1.0\r\n${H}Transfer-Encoding: chunked\r\n\r\n`, 'encoding'],
  ['RFC 9112 6.1: unknown coding', `POST / HTTP/1.1\r\n${H}Transfer-Encoding: xchunked\r\n\r\n`, 'coding'],
  [
    'RFC 9112 6.1: chunked not last',
    `POST / HTTP/1.1\r\n${H}Transfer-Encoding: chunked, gzip\r\n\r\n`,
    'coding',
  ],
  ['RFC 9110 7.6.1: Connection lists Host', `GET / HTTP/1.1\r\n${H}Connection: host\r\n\r\n`, 'connection'],
  [
    'RFC 9110 7.6.1: Connection lists a length',
    `POST / HTTP/1.1\r\n${H}Connection: Content-Length\r\nContent-Length: 3\r\n\r\n`,
    'connection',
  ],
  ['limit: count', `GET / HTTP/1.1\r\n${H}${'X: a\r\n'.repeat(200)}\r\n`, 'tooMany'],
  ['limit: bytes', `GET / HTTP/1.1\r\n${H}X: ${'a'.repeat(66_000)}\r\n\r\n`, 'tooLarge'],
  ['limit: bytes, unfinished', `GET / HTTP/1.1\r\n${H}X: ${'a'.repeat(66_000)}`, 'tooLarge'],
  ['limit: request line', `GET /${'a'.repeat(9_000)} HTTP/1.1\r\n${H}\r\n`, 'longTarget'],
  [
    'upgrade with a body',
    `GET / HTTP/1.1\r\n${H}Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\n\r\n`,
    'upgrade',
  ],
];

describe('refused requests', () => {
  test.each(refused)('%s', (_name, text, error) => {
    expect(request(text)).toBe(HEAD_ERRORS[error].code);
  });
});

describe('accepted requests', () => {
  test.each([
    ['plain', `GET / HTTP/1.1\r\n${H}\r\n`],
    ['RFC 9112 2.2: one empty line before', `\r\nGET / HTTP/1.1\r\n${H}\r\n`],
    ['HTTP/1.0 without Host', 'GET / HTTP/1.0\r\n\r\n'],
    ['empty value', `GET / HTTP/1.1\r\n${H}X:\r\n\r\n`],
    ['white space around a value', `GET / HTTP/1.1\r\n${H}X: \t a b \t\r\n\r\n`],
    ['obs-text', `GET / HTTP/1.1\r\n${H}X: \xe9\r\n\r\n`],
    ['any case', `POST / HTTP/1.1\r\nhOST: a\r\nTRANSFER-encoding: CHUNKED\r\n\r\n`],
  ])('%s', (_name, text) => {
    expect(request(text)).toBe(text.length);
  });

  test('framing and flags', () => {
    request(`POST / HTTP/1.1\r\n${H}Content-Length: 12\r\nExpect: 100-Continue\r\nConnection: close\r\n\r\n`);
    expect(head).toMatchObject({ contentLength: 12, chunked: false, expectContinue: true, close: true });
    request(`GET / HTTP/1.1\r\n${H}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`);
    expect(head.upgrade).toBe(true);
    request(`GET / HTTP/1.1\r\n${H}Upgrade: websocket\r\n\r\n`);
    expect(head.upgrade).toBe(false);
    request(`GET / HTTP/1.1\r\n${H}Connection: Upgrade\r\nUpgrade: websocket, H2C\r\n\r\n`);
    expect(head.upgrade).toBe(false);
  });

  test('an upgrade to h2c ends here: what came behind it would pass unseen', () => {
    const text = `GET / HTTP/1.1\r\n${H}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nA: b\r\n\r\n`;
    expect(forward(text)).toBe(`GET / HTTP/1.1\r\n${H}A: b\r\n\r\n`);
  });
});

describe('forwarding', () => {
  test('an ordinary message is the buffer itself', () => {
    const buffer = Buffer.from(`GET / HTTP/1.1\r\n${H}\r\n`);
    parseRequestHead(head, buffer, 0, buffer.length, true);
    expect(forwardHead(head, buffer, buffer.length, undefined)[0]).toBe(buffer);
  });

  test('hop-by-hop lines go, whatever Connection line names them', () => {
    const text =
      `GET / HTTP/1.1\r\nConnection: X-One, keep-alive\r\n${H}X-One: 1\r\nKeep-Alive: a\r\nA: b\r\nX-Two: 2\r\n` +
      'Proxy-Connection: close\r\nTE: gzip\r\nConnection: x-two\r\nUpgrade: h2c\r\nweir-client-id: me\r\nl5d-x: y\r\n\r\nbody';
    expect(forward(text)).toBe(`GET / HTTP/1.1\r\n${H}A: b\r\n\r\nbody`);
    expect(forward(text, 'n: v\r\n')).toBe(`GET / HTTP/1.1\r\n${H}A: b\r\nn: v\r\n\r\nbody`);
  });

  test('TE: trailers stays', () => {
    expect(forward(`GET / HTTP/1.1\r\n${H}TE: trailers\r\nConnection: te\r\n\r\n`)).toContain('TE: trailers');
  });

  test('large bodies are not copied', () => {
    const buffer = Buffer.from(`POST / HTTP/1.1\r\n${H}Content-Length: 20000\r\n\r\n${'b'.repeat(20_000)}`);
    parseRequestHead(head, buffer, 0, buffer.length, true);
    const [first, second] = forwardHead(head, buffer, buffer.length, Buffer.from('n: v\r\n'));
    expect(first.toString()).toMatch(/n: v\r\n\r\n$/);
    expect(second?.length).toBe(20_000);
  });

  test('leaving lines out keeps every other byte (property)', () => {
    const line = fc.oneof(
      fc.constantFrom('Connection: a-1', 'Keep-Alive: x', 'weir-x: 1', 'A-1: gone'),
      fc.stringMatching(/^k[a-z]{0,8}: [a-z]{0,20}$/),
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 30 }), fc.string({ maxLength: 50 }), (lines, body) => {
        const listed = lines.includes('Connection: a-1');
        const kept = lines.filter(
          (each) => !/^(Connection|Keep-Alive|weir-x)/.test(each) && !(listed && each.startsWith('A-1')),
        );
        const text = (all: string[]) =>
          `GET / HTTP/1.1\r\n${H}${all.map((each) => `${each}\r\n`).join('')}\r\n`;
        const latin = Buffer.from(body).toString('latin1');
        expect(forward(text(lines) + latin)).toBe(text(kept) + latin);
      }),
    );
  });
});

describe('responses', () => {
  test('status line with and without a reason', () => {
    expect(response('HTTP/1.1 200 OK\r\n\r\n')).toBeGreaterThan(0);
    expect(response('HTTP/1.1 204 \r\n\r\n')).toBeGreaterThan(0);
    expect(response('HTTP/1.1 204\r\nA: b\r\n\r\n')).toBeGreaterThan(0);
    expect(head.status).toBe(204);
  });

  test.each([
    'HTTP/1.1 20 OK\r\n\r\n\r\n',
    'HTTP/1.1 600 X\r\n\r\n',
    'HTTP/1.1  200 OK\r\n\r\n',
    'ICY 200 OK\r\n\r\n\r\n',
  ])('refuses %j', (text) => {
    expect(response(text)).toBeLessThan(0);
  });
});

test('never throws, and never asks for more once a head is complete (property)', () => {
  const noise = fc.stringMatching(/^[A-Za-z0-9:\r\n ,/.\t-]*$/);
  fc.assert(
    fc.property(fc.oneof(noise, fc.string()), (text) => {
      for (const bytes of [text, `GET / HTTP/1.1\r\n${text}\r\n\r\n`]) {
        const buffer = Buffer.from(bytes, 'latin1');
        const after = parseRequestHead(head, buffer, 0, buffer.length, true);
        expect(after).toBeLessThanOrEqual(buffer.length);
        parseResponseHead(head, buffer, 0, buffer.length, true);
      }
    }),
  );
});

test('a prefix of a valid head is never an error (property)', () => {
  const whole = `POST /a?b=c HTTP/1.1\r\n${H}Content-Length: 5\r\nConnection: keep-alive, x\r\nX: y\r\n\r\n`;
  for (let cut = 0; cut < whole.length; cut += 1) expect(request(whole.slice(0, cut))).toBe(0);
  expect(request(whole)).toBe(whole.length);
});

test('a response is waited for only while it can still become HTTP', () => {
  for (const whole of ['H', 'HTTP/1.', 'HTTP/1.1 200', 'HTTP/1.1 20']) expect(response(whole)).toBe(0);
  for (const strange of ['-', '-ERR 38\r\n\r\n', 'HTTX', 'SSH-2.0-x']) {
    expect(response(strange)).toBe(HEAD_ERRORS.startLine.code);
  }
});
