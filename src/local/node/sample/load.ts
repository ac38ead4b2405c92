import http from 'node:http';
import type { Running, SampleOptions } from './app.ts';

// Latencies of the last requests, for the quantiles; counts are of the whole run.
const WINDOW = 4096;
const TICK_MS = 5;
const TIMEOUT_MS = 10_000;

export class LoadStats {
  sent = 0;
  ok = 0;
  failed = 0;
  /** Failures by status; `error` is no answer at all. */
  readonly failures: Record<string, number> = {};
  readonly versions: Record<string, number> = {};
  readonly #latencies: number[] = [];
  #next = 0;

  record(status: number | 'error', milliseconds: number): void {
    if (status !== 'error' && status < 500) this.ok += 1;
    else {
      this.failed += 1;
      this.failures[status] = (this.failures[status] ?? 0) + 1;
    }
    this.#latencies[this.#next] = milliseconds;
    this.#next = (this.#next + 1) % WINDOW;
  }

  report(): Record<string, unknown> {
    const sorted = [...this.#latencies].sort((a, b) => a - b);
    const quantile = (q: number) => Math.round((sorted[Math.floor(q * sorted.length)] ?? 0) * 100) / 100;
    const { sent, ok, failed, failures, versions } = this;
    return { sent, ok, failed, failures, versions, p50: quantile(0.5), p99: quantile(0.99) };
  }
}

/**
 * Sends LOAD_RPS requests per second to LOAD_URL, whether or not earlier ones were answered (open loop), over at most
 * LOAD_CONNECTIONS connections. It starts to count at the first answer, so that a target that is still starting is not
 * a failure. Counts are served at `/` and printed once a second.
 */
export async function startLoad({ env, host, port }: SampleOptions): Promise<Running> {
  const url = env.LOAD_URL ?? 'http://localhost';
  const rate = Number(env.LOAD_RPS ?? 10);
  const agent = new http.Agent({ keepAlive: true, maxSockets: Number(env.LOAD_CONNECTIONS ?? 32) });
  const stats = new LoadStats();
  const stop = new AbortController();

  const send = () =>
    new Promise<number | 'error'>((resolve) => {
      const started = performance.now();
      const done = (status: number | 'error') => {
        resolve(status);
        return performance.now() - started;
      };
      const request = http.get(url, { agent, timeout: TIMEOUT_MS }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () => {
          const version = /"version":"([^"]*)"/.exec(text)?.[1];
          if (version) stats.versions[version] = (stats.versions[version] ?? 0) + 1;
          const status = response.statusCode ?? 0;
          stats.record(status, done(status));
        });
        response.on('error', () => stats.record('error', done('error')));
      });
      request.on('timeout', () => request.destroy());
      request.on('error', () => stats.record('error', done('error')));
    });

  const server = http.createServer((request, response) => {
    request.resume();
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(`${JSON.stringify(stats.report())}\n`);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, resolve);
  });

  const generate = async () => {
    while (!stop.signal.aborted && !(await answers(url, agent))) await pause(50);
    let due = performance.now();
    const interval = 1000 / rate;
    while (!stop.signal.aborted) {
      const now = performance.now();
      // After a stall of this process the missed requests are skipped rather than sent in one burst.
      if (now - due > 1000) due = now;
      for (; due <= now; due += interval) {
        stats.sent += 1;
        void send();
      }
      await pause(Math.max(1, Math.min(TICK_MS, due - performance.now())));
    }
  };
  const generating = generate();
  const printer = setInterval(() => process.stdout.write(`${JSON.stringify(stats.report())}\n`), 1000);

  return {
    port: (server.address() as { port: number }).port,
    stop: async () => {
      stop.abort();
      clearInterval(printer);
      await generating;
      agent.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function answers(url: string, agent: http.Agent): Promise<boolean> {
  return new Promise((resolve) => {
    const request = http.get(url, { agent, timeout: 2000 }, (response) => {
      response.resume().on('end', () => resolve((response.statusCode ?? 500) < 500));
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}

const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));
