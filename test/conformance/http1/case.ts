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
export const get = (...lines: string[]) => `GET / HTTP/1.1\r\n${['Host: a', ...lines].join('\r\n')}\r\n\r\n`;
export const post = (body: string, ...lines: string[]) =>
  `POST / HTTP/1.1\r\n${['Host: a', ...lines].join('\r\n')}\r\n\r\n${body}`;
export const CHUNKED = 'Transfer-Encoding: chunked';
export const chunked = (body: string, ...lines: string[]) => post(body, CHUNKED, ...lines);

export type Row = [name: string, send: string, answers: number | 'closed' | number[], more?: Partial<Case>];
/** Anything but 2xx that is about the request's syntax ends the connection: what follows cannot be trusted. */
export const rows = (section: string, list: Row[]): Case[] =>
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

export const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n';
export const to = (send: string, upstream: string): [string, Partial<Case>] => [send, { upstream }];
/** A request of which lines are left out on the way. */
export const without = (name: string, lines: string[], ...left: string[]): Row => {
  const [send, more] = to(get(...lines), get(...left));
  return [name, send, 200, more];
};
