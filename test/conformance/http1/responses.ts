import { type Case, get, OK, post, rows, SAME } from './case.ts';

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

/** Of responses: what reaches the client. By section of RFC 9110 and RFC 9112, written from the RFCs' text. */
export const RESPONSES: Case[] = [
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
