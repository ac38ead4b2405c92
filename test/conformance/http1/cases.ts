/** What is sent to the proxy and what must come of it, by section of RFC 9110 and RFC 9112. Written from the RFCs' text. */

/** What must reach the server: the same bytes, none, or these. */
export const SAME = Symbol('same');
export const NONE = '';

export interface Case {
  section: string;
  name: string;
  send: string;
  /** Statuses of the final answers; `closed`: the connection closes without one. */
  answers: (number | 'closed')[];
  /** The client's connection cannot be used afterwards. */
  closes?: boolean;
  /** Default: SAME when the first answer is 2xx, NONE otherwise. */
  upstream?: typeof SAME | string;
  /** Sent by the server for each request; `close`: and then it closes. */
  reply?: string;
  replyCloses?: boolean;
  /** The answer as the client must see it, to the byte. */
  answer?: string;
  /** The bytes are a tunnel's from then on: these are sent, and must come back. */
  tunnel?: string;
}

export const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
const get = (...lines: string[]) => `GET / HTTP/1.1\r\n${['Host: a', ...lines].join('\r\n')}\r\n\r\n`;
const post = (body: string, ...lines: string[]) =>
  `POST / HTTP/1.1\r\n${['Host: a', ...lines].join('\r\n')}\r\n\r\n${body}`;
const CHUNKED = 'Transfer-Encoding: chunked';
const chunked = (body: string, ...lines: string[]) => post(body, CHUNKED, ...lines);

type Row = [name: string, send: string, answers: number | 'closed' | number[], more?: Partial<Case>];
/** Anything but 2xx that is about the request's syntax ends the connection: what follows cannot be trusted. */
const rows = (section: string, list: Row[]): Case[] =>
  list.map(([name, send, answers, more]) => {
    const all = Array.isArray(answers) ? answers : [answers];
    return {
      section,
      name,
      send,
      answers: all,
      closes: all.some((each) => each === 'closed' || each >= 400),
      ...more,
    };
  });

const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n';
const to = (send: string, upstream: string): [string, Partial<Case>] => [send, { upstream }];
/** A request of which lines are left out on the way. */
const without = (name: string, lines: string[], ...left: string[]): Row => {
  const [send, more] = to(get(...lines), get(...left));
  return [name, send, 200, more];
};

const REQUESTS: Case[] = [
  ...rows('9112 2.2 message parsing', [
    ['one empty line before the request line', `\r\n${get()}`, 200, { upstream: get() }],
    ['bare LF before the request line', `\n${get()}`, 400],
    ['bare LF at the end of the request line', 'GET / HTTP/1.1\nHost: a\r\n\r\n', 400],
    ['bare LF at the end of a field line', 'GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n', 400],
    ['bare LF ends the head', 'GET / HTTP/1.1\r\nHost: a\r\n\n', 400],
    ['bare CR in a field value', get('X: a\rb'), 400],
    ['bare CR in a field name', get('X\rY: a'), 400],
    ['bare CR in the request line', 'GET /\r HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['whitespace between request line and first field', 'GET / HTTP/1.1\r\n Host: a\r\n\r\n', 400],
    ['NUL in a field value', get('X: a\0b'), 400],
    ['NUL in a field name', get('X\0: a'), 400],
    ['NUL in the target', 'GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['DEL in a field value', get('X: a\x7fb'), 400],
    ['control character in a field value', get('X: a\x01b'), 400],
    ['escape sequence in a field value', get('X: \x1b[31m'), 400],
  ]),
  ...rows('9112 3 request line', [
    ['method in lower case is another method', 'get / HTTP/1.1\r\nHost: a\r\n\r\n', 200],
    ['method nobody knows', 'BREW / HTTP/1.1\r\nHost: a\r\n\r\n', 200],
    ['method with a character that no token has', 'GE(T / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['two spaces after the method', 'GET  / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['tab after the method', 'GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['two spaces before the version', 'GET /  HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['space in the target', 'GET /a b HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['space after the version', 'GET / HTTP/1.1 \r\nHost: a\r\n\r\n', 400],
    ['space before the method', ' GET / HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['no version (HTTP/0.9)', 'GET /\r\n\r\n', 400],
    ['no target', 'GET HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['version in lower case', 'GET / http/1.1\r\nHost: a\r\n\r\n', 400],
    ['version 1.2', 'GET / HTTP/1.2\r\nHost: a\r\n\r\n', 505],
    ['version 2.0 without its preface', 'GET / HTTP/2.0\r\nHost: a\r\n\r\n', 505],
    ['version 0.9 written out', 'GET / HTTP/0.9\r\nHost: a\r\n\r\n', 505],
    ['version with two digits', 'GET / HTTP/1.10\r\nHost: a\r\n\r\n', 400],
    ['version with a comma', 'GET / HTTP/1,1\r\nHost: a\r\n\r\n', 400],
    ['target longer than 8 KiB', `GET /${'a'.repeat(9_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414],
    ['target of 7 KiB', `GET /${'a'.repeat(7_000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 200],
    ['byte above 127 in the target', 'GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n', 400],
    ['percent-encoded slash and dots stay', 'GET /a%2f..%2Fb/../c HTTP/1.1\r\nHost: a\r\n\r\n', 200],
    ['double slash stays', 'GET //a//b HTTP/1.1\r\nHost: a\r\n\r\n', 200],
    ['query with every sub-delimiter', "GET /?a=!$&'()*+,;=:@ HTTP/1.1\r\nHost: a\r\n\r\n", 200],
  ]),
  ...rows('9112 3.2 request target, 9110 7.2 Host', [
    ['absolute-form with the same Host', 'GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n', 200],
    [
      'absolute-form that differs from Host',
      'GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n',
      200,
      { upstream: 'GET http://b/x HTTP/1.1\r\nhost: b\r\n\r\n' },
    ],
    ['asterisk-form of OPTIONS', 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n', 200],
    ['no Host', 'GET / HTTP/1.1\r\nX: a\r\n\r\n', 400],
    ['Host twice', get('Host: a'), 400],
    ['two different Hosts', get('Host: b'), 400],
    ['empty Host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n', 200],
    ['Host with a port', 'GET / HTTP/1.1\r\nHost: a:8080\r\n\r\n', 200],
    ['Host that is an IPv6 address', 'GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n', 200],
    ['Host with user information', 'GET / HTTP/1.1\r\nHost: a@b\r\n\r\n', 400],
    ['Host with a path', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 400],
    ['Host with a space', 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n', 400],
    ['Host with a comma', 'GET / HTTP/1.1\r\nHost: a, b\r\n\r\n', 400],
    ['Host with a query', 'GET / HTTP/1.1\r\nHost: a?b\r\n\r\n', 400],
    ['Host with a fragment', 'GET / HTTP/1.1\r\nHost: a#b\r\n\r\n', 400],
    ['Host with a backslash', 'GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n', 400],
    ['space before the colon of Host', 'GET / HTTP/1.1\r\nHost : a\r\n\r\n', 400],
  ]),
  ...rows('9112 5 field syntax', [
    ['obs-fold with a space', get('X: a\r\n b'), 400],
    ['obs-fold with a tab', get('X: a\r\n\tb'), 400],
    ['obs-fold that hides Transfer-Encoding', post('0\r\n\r\n', 'Transfer-Encoding:\r\n chunked'), 501],
    ['space before the colon', get('X : a'), 400],
    ['tab before the colon', get('X\t: a'), 400],
    ['no colon', get('X'), 400],
    ['empty name', get(': a'), 400],
    ['space within a name', get('X Y: a'), 400],
    ['name with a byte above 127', get('X\xe4: a'), 400],
    ['name in brackets', get('X[]: a'), 400],
    ['empty value', get('X:'), 200],
    ['spaces and tabs around a value', get('X: \t a \t '), 200],
    ['no space after the colon', get('X:a'), 200],
    ['byte above 127 in a value (obs-text)', get('X: \xe4'), 200],
    ['every character a name may have', get("!#$%&'*+-.^_`|~09AZaz: a"), 200],
    ['the same name many times', get('X: a', 'X: b', 'x: c'), 200],
    ['case and order of fields stay', get('zEbRa: 1', 'Apple: 2'), 200],
    ['name with an underscore', get('content_length: 5'), 200],
  ]),
  ...rows('9110 5.4 limits', [
    ['199 fields', get(...Array.from({ length: 199 }, (_, n) => `X${n}: a`)), 200],
    ['more fields than the limit of 200', get(...Array.from({ length: 200 }, (_, n) => `X${n}: a`)), 431],
    ['head of 60 KiB', get(`X: ${'a'.repeat(60_000)}`), 200],
    ['head over 64 KiB', get(`X: ${'a'.repeat(66_000)}`), 431],
    ['name over 64 KiB', get(`${'X'.repeat(66_000)}: a`), 431],
  ]),
  ...rows('9112 6.2 Content-Length', [
    ['body by its length', post('abc', 'Content-Length: 3'), 200],
    ['length 0', post('', 'Content-Length: 0'), 200],
    ['leading zeros', post('abc', 'Content-Length: 0003'), 200],
    ['GET with a body', get('Content-Length: 3').concat('abc'), 200],
    ['twice the same', post('abc', 'Content-Length: 3', 'Content-Length: 3'), 400],
    ['twice, different', post('abc', 'Content-Length: 3', 'Content-Length: 30'), 400],
    ['list of equal values', post('abc', 'Content-Length: 3, 3'), 400],
    ['list of different values', post('abc', 'Content-Length: 3, 4'), 400],
    ['plus sign', post('abc', 'Content-Length: +3'), 400],
    ['minus sign', post('abc', 'Content-Length: -3'), 400],
    ['hexadecimal', post('abc', 'Content-Length: 0x3'), 400],
    ['fraction', post('abc', 'Content-Length: 3.0'), 400],
    ['empty', post('', 'Content-Length:'), 400],
    ['words', post('', 'Content-Length: three'), 400],
    ['space within', post('abc', 'Content-Length: 1 3'), 400],
    ['above 2^64', post('', 'Content-Length: 18446744073709551617'), 400],
    ['above 2^53', post('', 'Content-Length: 9007199254740993'), 400],
    ['space before the colon', post('abc', 'Content-Length : 3'), 400],
    ['what follows the body is the next request', `${post('abc', 'Content-Length: 3')}${get()}`, [200, 200]],
  ]),
  ...rows('9112 6.1, 6.3 Transfer-Encoding, smuggling', [
    ['CL.TE', post(`0\r\n\r\n${smuggled}`, 'Content-Length: 40', CHUNKED), 400],
    ['TE.CL', post('5\r\nabcde\r\n0\r\n\r\n', CHUNKED, 'Content-Length: 3'), 400],
    ['TE and Content-Length: 0', post('0\r\n\r\n', 'Content-Length: 0', CHUNKED), 400],
    ['TE.TE, the second unknown', post('0\r\n\r\n', CHUNKED, 'Transfer-Encoding: cow'), 400],
    ['TE.TE, the first unknown', post('0\r\n\r\n', 'Transfer-Encoding: cow', CHUNKED), 501],
    ['chunked in two lines', post('0\r\n\r\n', CHUNKED, CHUNKED), 400],
    ['chunked, chunked', post('0\r\n\r\n', 'Transfer-Encoding: chunked, chunked'), 501],
    ['chunked, identity', post('0\r\n\r\n', 'Transfer-Encoding: chunked, identity'), 501],
    ['identity', post('', 'Transfer-Encoding: identity'), 501],
    ['gzip, chunked', post('0\r\n\r\n', 'Transfer-Encoding: gzip, chunked'), 501],
    ['gzip alone', post('', 'Transfer-Encoding: gzip'), 501],
    ['xchunked', post('0\r\n\r\n', 'Transfer-Encoding: xchunked'), 501],
    ['chunked in quotes', post('0\r\n\r\n', 'Transfer-Encoding: "chunked"'), 501],
    ['chunked with a parameter', post('0\r\n\r\n', 'Transfer-Encoding: chunked;a=b'), 501],
    ['chunked with a vertical tab', post('0\r\n\r\n', 'Transfer-Encoding: \x0bchunked'), 400],
    ['space before the colon', post('0\r\n\r\n', 'Transfer-Encoding : chunked'), 400],
    ['empty', post('', 'Transfer-Encoding:'), 501],
    ['CHUNKED is chunked', post('0\r\n\r\n', 'Transfer-Encoding: CHUNKED'), 200],
    ['tab before chunked', post('0\r\n\r\n', 'Transfer-Encoding:\tchunked'), 200],
    ['with HTTP/1.0', 'POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
    ['Connection names Transfer-Encoding', post('0\r\n\r\n', CHUNKED, 'Connection: transfer-encoding'), 400],
    ['Connection names Content-Length', post('abc', 'Content-Length: 3', 'Connection: content-length'), 400],
    ['Connection names Host', get('Connection: host'), 400],
    ['a body that looks like a request is a body', post(smuggled, `Content-Length: ${smuggled.length}`), 200],
    ['a POST without length has no body', `${post('')}${get()}`, [200, 200]],
  ]),
  ...rows('9112 7.1 chunked coding', [
    ['one chunk', chunked('3\r\nabc\r\n0\r\n\r\n'), 200],
    [
      'sizes in either case with leading zeros',
      chunked('00A\r\n0123456789\r\n00a\r\n0123456789\r\n000\r\n\r\n'),
      200,
    ],
    ['followed by the next request', `${chunked('3\r\nabc\r\n0\r\n\r\n')}${get()}`, [200, 200]],
    ['no size', chunked('\r\nabc\r\n0\r\n\r\n'), 400],
    ['size with a prefix', chunked('0x3\r\nabc\r\n0\r\n\r\n'), 400],
    ['size with a sign', chunked('+3\r\nabc\r\n0\r\n\r\n'), 400],
    ['size with an underscore', chunked('1_0\r\nabc\r\n0\r\n\r\n'), 400],
    ['space before the size', chunked(' 3\r\nabc\r\n0\r\n\r\n'), 400],
    ['space after the size', chunked('3 \r\nabc\r\n0\r\n\r\n'), 400],
    ['size above 2^64', chunked('10000000000000003\r\nabc\r\n0\r\n\r\n'), 400],
    ['size of 14 digits', chunked('00000000000003\r\nabc\r\n0\r\n\r\n'), 400],
    ['bare LF after the size', chunked('3\nabc\r\n0\r\n\r\n'), 400],
    ['bare LF after the data', chunked('3\r\nabc\n0\r\n\r\n'), 400],
    ['bare CR after the size', chunked('3\rabc\r\n0\r\n\r\n'), 400],
    ['data longer than its size', chunked('3\r\nabcd\r\n0\r\n\r\n'), 400],
    ['no line end after the data', chunked('3\r\nabc0\r\n\r\n'), 400],
    ['NUL in the size', chunked('3\0\r\nabc\r\n0\r\n\r\n'), 400],
  ]),
  ...rows('9112 7.1.1 chunk extensions, 7.1.2 trailers', [
    ['extension', chunked('3;a=b\r\nabc\r\n0\r\n\r\n'), 200],
    ['quoted extension', chunked('3;a="b c"\r\nabc\r\n0\r\n\r\n'), 200],
    ['bare LF in an extension', chunked('3;a\nabc\r\n0\r\n\r\n'), 400],
    ['bare CR in an extension', chunked('3;a\rb\r\nabc\r\n0\r\n\r\n'), 400],
    ['NUL in an extension', chunked('3;a\0\r\nabc\r\n0\r\n\r\n'), 400],
    ['extension over 1 KiB', chunked(`3;${'a'.repeat(2_000)}\r\nabc\r\n0\r\n\r\n`), 400],
    [
      'extensions over 16 KiB altogether',
      chunked(`${`1;${'a'.repeat(1_000)}\r\na\r\n`.repeat(20)}0\r\n\r\n`),
      400,
    ],
    ['trailers', chunked('3\r\nabc\r\n0\r\nX: a\r\nY: b\r\n\r\n', 'Trailer: X, Y'), 200],
    ['trailer with a space before its colon', chunked('0\r\nX : a\r\n\r\n'), 400],
    ['trailer that is folded', chunked('0\r\nX: a\r\n b\r\n\r\n'), 400],
    ['trailer with a bare LF', chunked('0\r\nX: a\nY: b\r\n\r\n'), 400],
    ['trailers over 16 KiB', chunked(`0\r\nX: ${'a'.repeat(17_000)}\r\n\r\n`), 400],
    ['bare LF ends the trailers', chunked('0\r\n\n'), 400],
  ]),
  ...rows('9112 9.3 persistence and pipelining', [
    ['five requests at once', get().repeat(5), [200, 200, 200, 200, 200]],
    [
      'a bad one among them ends the connection',
      `${get()}${get('X : a')}${smuggled}`,
      [200, 400],
      { upstream: get() },
    ],
    ['Connection: close', get('Connection: close'), 200, { closes: true, upstream: get() }],
    [
      'nothing after Connection: close',
      `${get('Connection: close')}${smuggled}`,
      200,
      { closes: true, upstream: get() },
    ],
    ['HTTP/1.0 with Host', 'GET / HTTP/1.0\r\nHost: a\r\n\r\n', 200, { closes: true }],
    ['HTTP/1.0 without Host', 'GET / HTTP/1.0\r\n\r\n', 200, { closes: true }],
    ['HTTP/1.0 with two Hosts', 'GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n', 400],
    ['HTTP/1.0 with a body', 'POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc', 200, { closes: true }],
  ]),
  ...rows('9110 7.6.1 Connection', [
    without('a named field is left out', ['Connection: x-hop', 'X-Hop: 1'], ...[]),
    without(
      'several, over two lines',
      ['Connection: x-a, x-b', 'X-A: 1', 'Connection: X-C', 'X-B: 2', 'X-C: 3', 'Y: 4'],
      'Y: 4',
    ),
    without('Keep-Alive is left out', ['Connection: keep-alive', 'Keep-Alive: timeout=5'], ...[]),
    without('Proxy-Connection is left out', ['Proxy-Connection: keep-alive'], ...[]),
    without('TE: trailers stays', ['Connection: te', 'TE: trailers'], 'TE: trailers'),
    ['Connection that is no list of tokens', get('Connection: "a"'), 400],
  ]),
  ...rows('9110 7.8 Upgrade', [
    [
      'to a protocol that the server accepts',
      get('Connection: Upgrade', 'Upgrade: echo'),
      101 as number,
      {
        closes: true,
        upstream: get('Upgrade: echo', 'connection: upgrade'),
        reply: 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n',
        answer: 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nconnection: upgrade\r\n\r\n',
        tunnel: 'any bytes \0\xff',
      },
    ],
    [
      'that the server ignores',
      get('Connection: Upgrade', 'Upgrade: echo'),
      200,
      { upstream: get('Upgrade: echo', 'connection: upgrade') },
    ],
    without('Upgrade that Connection does not name', ['Upgrade: echo'], ...[]),
    without(
      'to h2c',
      ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAAP__'],
      ...[],
    ),
    [
      '101 unasked',
      get(),
      502,
      {
        upstream: get(),
        closes: false,
        reply: 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n',
      },
    ],
    ['with a body', post('abc', 'Connection: Upgrade', 'Upgrade: echo', 'Content-Length: 3'), 400],
  ]),
  ...rows('9110 9.3.6 CONNECT', [
    [
      'accepted by the server',
      'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n',
      200,
      {
        closes: true,
        reply: 'HTTP/1.1 200 OK\r\n\r\n',
        answer: 'HTTP/1.1 200 OK\r\n\r\n',
        tunnel: 'any bytes \0\xff',
      },
    ],
    [
      'refused by the server',
      'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n',
      403 as number,
      { closes: false, upstream: SAME, reply: 'HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno' },
    ],
    ['without Host', 'CONNECT a:443 HTTP/1.1\r\n\r\n', 400],
  ]),
  ...rows('9110 10.1.1 Expect', [
    [
      'the body goes along, 100 comes back',
      post('abc', 'Expect: 100-continue', 'Content-Length: 3'),
      200,
      { reply: `HTTP/1.1 100 Continue\r\n\r\n${OK}`, answer: `HTTP/1.1 100 Continue\r\n\r\n${OK}` },
    ],
    ['an expectation nobody knows', get('Expect: tea'), 200],
  ]),
];

const answered = (reply: string, more: Partial<Case> = {}): [string, number, Partial<Case>] => [
  get(),
  Number(/^HTTP\/1\.\d (\d+)/.exec(reply)?.[1]),
  { closes: false, upstream: SAME, reply, answer: reply, ...more },
];
const faulty = (reply: string, more: Partial<Case> = {}): [string, number, Partial<Case>] => [
  get(),
  502,
  { closes: false, upstream: SAME, reply, ...more },
];

const RESPONSES: Case[] = [
  ...rows('9112 6.3 length of responses', [
    ['204 without length', ...answered('HTTP/1.1 204 No Content\r\n\r\n')],
    [
      '304 with the length of what it does not send',
      ...answered('HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n'),
    ],
    ['length 0 stays', ...answered('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')],
    [
      'HEAD with a length',
      'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n',
      200,
      {
        reply: 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n',
        answer: 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n',
      },
    ],
    [
      'HEAD with chunked',
      'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n',
      200,
      {
        reply: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n',
        answer: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n',
      },
    ],
    [
      'until the connection closes',
      get(),
      200,
      {
        closes: true,
        reply: 'HTTP/1.1 200 OK\r\nX: a\r\n\r\nabc',
        replyCloses: true,
        answer: 'HTTP/1.1 200 OK\r\nX: a\r\nconnection: close\r\n\r\nabc',
      },
    ],
    [
      'of HTTP/1.0 until it closes',
      get(),
      200,
      {
        closes: true,
        reply: 'HTTP/1.0 200 OK\r\n\r\nabc',
        replyCloses: true,
        answer: 'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc',
      },
    ],
    [
      'of HTTP/1.0 with a length',
      ...answered('HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok', { answer: OK }),
    ],
    [
      'chunked with trailers',
      ...answered('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\nX: a\r\n\r\n'),
    ],
    ['103 before it', ...answered(`HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n${OK}`, { answers: [200] })],
    [
      'two 1xx before it',
      ...answered(`HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n${OK}`, { answers: [200] }),
    ],
    ['empty reason', ...answered('HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nok')],
    ['no reason and no space', ...answered('HTTP/1.1 200\r\ncontent-length: 2\r\n\r\nok')],
    ['status nobody knows', ...answered('HTTP/1.1 299 Hm\r\ncontent-length: 2\r\n\r\nok')],
    [
      'Connection names a field',
      ...answered(OK, {
        reply: 'HTTP/1.1 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\ncontent-length: 2\r\n\r\nok',
      }),
    ],
    [
      'Connection: close of the server is its own',
      ...answered(OK, {
        reply: 'HTTP/1.1 200 OK\r\nConnection: close\r\ncontent-length: 2\r\n\r\nok',
        replyCloses: true,
      }),
    ],
    [
      'more than its length',
      ...answered(OK, { reply: `${OK}HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison` }),
    ],
  ]),
  ...rows('9112 4, 5, 6 faults of responses', [
    [
      'Content-Length twice',
      ...faulty('HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok'),
    ],
    [
      'Content-Length and chunked',
      ...faulty('HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n'),
    ],
    ['an invalid length', ...faulty('HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok')],
    ['a coding other than chunked', ...faulty('HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nok')],
    ['obs-fold', ...faulty('HTTP/1.1 200 OK\r\nX: a\r\n b\r\ncontent-length: 2\r\n\r\nok')],
    ['space before a colon', ...faulty('HTTP/1.1 200 OK\r\nX : a\r\ncontent-length: 2\r\n\r\nok')],
    ['bare LF', ...faulty('HTTP/1.1 200 OK\ncontent-length: 2\n\nok')],
    ['bare CR in a value', ...faulty('HTTP/1.1 200 OK\r\nX: a\rb\r\ncontent-length: 2\r\n\r\nok')],
    ['NUL in a value', ...faulty('HTTP/1.1 200 OK\r\nX: a\0b\r\ncontent-length: 2\r\n\r\nok')],
    ['status of two digits', ...faulty('HTTP/1.1 20 OK\r\ncontent-length: 2\r\n\r\nok')],
    ['status 600', ...faulty('HTTP/1.1 600 OK\r\ncontent-length: 2\r\n\r\nok')],
    ['not HTTP', ...faulty('SSH-2.0-OpenSSH_9.2\r\n\r\n')],
    ['version 2.0', ...faulty('HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nok')],
    [
      'a malformed first chunk',
      ...faulty('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n'),
    ],
    [
      'more fields than the limit',
      ...faulty(
        `HTTP/1.1 200 OK\r\n${Array.from({ length: 300 }, (_, n) => `X${n}: a\r\n`).join('')}content-length: 2\r\n\r\nok`,
      ),
    ],
    [
      'closed before a byte: a POST is not sent again',
      post('', 'Content-Length: 0'),
      502,
      { closes: false, upstream: SAME, reply: '', replyCloses: true },
    ],
    ['closed within the head', ...faulty('HTTP/1.1 200 O', { replyCloses: true })],
    [
      'closed within the body',
      get(),
      200,
      {
        closes: true,
        reply: 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok',
        replyCloses: true,
        answer: 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok',
      },
    ],
  ]),
];

export const CASES: readonly Case[] = [...REQUESTS, ...RESPONSES];
