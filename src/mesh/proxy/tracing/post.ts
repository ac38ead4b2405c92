/** The least HTTP client that can reach a collector: node:http and undici would cost every proxy their memory. */
import { AppError } from '../../../lib/errors.ts';

const TIMEOUT = 10_000;
/** Of the answer only its status is of interest. */
const LONGEST_STATUS_LINE = 4_096;

/** POSTs JSON on a connection of its own; the status of the answer. Rejects when there is none within ten seconds. */
export async function post(address: string, body: string, timeout = TIMEOUT): Promise<number> {
  const url = new URL(address);
  const secure = url.protocol === 'https:';
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = Number(url.port || (secure ? 443 : 80));
  const [net, tls] = await Promise.all([import('node:net'), secure ? import('node:tls') : undefined]);
  return new Promise((resolve, reject) => {
    const socket = tls
      ? tls.connect({ host, port, ...(net.isIP(host) ? {} : { servername: host }) })
      : net.connect({ host, port });
    let text = '';
    const fail = (reason: string) => {
      clearTimeout(timer);
      socket.destroy();
      reject(new AppError('Unavailable', `${url.host}: ${reason}`));
    };
    // Of all of it: a collector that says a byte now and then would hold the queue up for ever.
    const timer = setTimeout(() => fail(`no answer within ${timeout / 1000} s`), timeout).unref();
    socket.on('error', (error) => fail(error.message));
    socket.on('close', () => fail('closed without an answer'));
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      const status = /^HTTP\/1\.[01] ([2-5]\d\d)/.exec(text)?.[1];
      if (status !== undefined && text.includes('\r\n\r\n')) {
        clearTimeout(timer);
        resolve(Number(status));
        socket.destroy();
      } else if (text.length > LONGEST_STATUS_LINE && status === undefined) fail('the answer is not HTTP');
      else if (text.length > 65_536) fail('the head of the answer has no end');
    });
    const bytes = Buffer.from(body);
    const credentials = url.username
      ? `authorization: Basic ${Buffer.from(`${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`).toString('base64')}\r\n`
      : '';
    socket.write(
      `POST ${url.pathname}${url.search} HTTP/1.1\r\nhost: ${url.host}\r\ncontent-type: application/json\r\n${credentials}content-length: ${bytes.length}\r\nconnection: close\r\n\r\n`,
    );
    socket.write(bytes);
  });
}
