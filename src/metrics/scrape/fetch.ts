import { readFileSync } from 'node:fs';
import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { AppError } from '../../lib/errors.ts';
import type { ScrapeConfig } from './config.ts';

/** The largest page a target may answer, bytes. */
const MAX_BODY = 64 * 1024 * 1024;
const ACCEPT = 'text/plain;version=0.0.4;q=1,*/*;q=0.1';

export interface Fetcher {
  get(url: string, timeout: number, signal: AbortSignal): Promise<string>;
  close(): void;
}

/** Reads pages over keep-alive connections, with the TLS and credentials of one scrape configuration. */
export function createFetcher(config: Pick<ScrapeConfig, 'tls_config' | 'authorization'>): Fetcher {
  const options = { keepAlive: true, maxFreeSockets: 1024, scheduling: 'lifo' as const };
  const plain = new HttpAgent(options);
  const tls = config.tls_config;
  const secure = new HttpsAgent({
    ...options,
    ca: tls?.ca_file ? readFileSync(tls.ca_file) : undefined,
    cert: tls?.cert_file ? readFileSync(tls.cert_file) : undefined,
    key: tls?.key_file ? readFileSync(tls.key_file) : undefined,
    servername: tls?.server_name,
    rejectUnauthorized: tls?.insecure_skip_verify !== true,
  });

  return {
    get: (url, timeout, signal) =>
      new Promise((resolve, reject) => {
        const isSecure = url.startsWith('https:');
        const headers: Record<string, string> = {
          accept: ACCEPT,
          'user-agent': 'weir-metrics',
          'x-prometheus-scrape-timeout-seconds': String(timeout / 1000),
        };
        if (config.authorization) {
          const { type, credentials_file } = config.authorization;
          // Read at each scrape: projected tokens are rotated in place.
          headers.authorization = `${type} ${readFileSync(credentials_file, 'utf8').trim()}`;
        }
        const request = (isSecure ? httpsRequest : httpRequest)(url, {
          agent: isSecure ? secure : plain,
          headers,
          signal,
        });
        const timer = setTimeout(() => {
          request.destroy(new AppError('Timeout', `no answer from ${url} within ${timeout} ms`));
        }, timeout);
        const fail = (error: Error) => {
          clearTimeout(timer);
          reject(error);
        };
        request.on('error', fail);
        request.on('response', (response) => {
          if (response.statusCode !== 200) {
            response.resume();
            fail(new AppError('Unavailable', `server returned HTTP status ${response.statusCode}`));
            return;
          }
          const parts: Buffer[] = [];
          let size = 0;
          response.on('data', (part: Buffer) => {
            size += part.length;
            if (size > MAX_BODY) request.destroy(new AppError('Invalid', 'the answer is larger than 64 MiB'));
            else parts.push(part);
          });
          response.on('error', fail);
          response.on('end', () => {
            clearTimeout(timer);
            resolve(Buffer.concat(parts).toString('utf8'));
          });
        });
        request.end();
      }),
    close() {
      plain.destroy();
      secure.destroy();
    },
  };
}
