import http from 'node:http';

export interface SampleOptions {
  env: NodeJS.ProcessEnv;
  host: string;
  port: number;
}

export interface Running {
  port: number;
  stop(): Promise<void>;
}

interface Upstream {
  name: string;
  url: string;
  status: number;
  version?: string;
  error?: string;
}

const UPSTREAM_TIMEOUT_MS = 5000;

/** `UPSTREAM_URL`, `UPSTREAM_URLS` (comma-separated) and any `<NAME>_URL` name what the app calls for each request. */
export function upstreamsOf(env: NodeJS.ProcessEnv): { name: string; url: string }[] {
  const found: { name: string; url: string }[] = [];
  for (const [key, value] of Object.entries(env).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const [, prefix, plural] = /^([A-Z0-9_]+)_URL(S?)$/.exec(key) ?? [];
    if (!prefix || !value || prefix === 'LOAD') continue;
    const urls = plural ? value.split(',') : [value];
    for (const url of urls) {
      const trimmed = url.trim();
      if (/^http:\/\//.test(trimmed)) found.push({ name: prefix.toLowerCase(), url: trimmed });
    }
  }
  return found;
}

/** Serves `/`, `/healthz` and `POST /fault?errors=0.5&latency=100&readiness=fail|ok` until stopped. */
export function startApp({ env, host, port }: SampleOptions): Promise<Running> {
  const identity = {
    service: env.SERVICE ?? (env.POD_NAME ?? 'sample').replace(/-[a-z0-9]+-[a-z0-9]{5}$/, ''),
    version: env.VERSION ?? 'latest',
    pod: env.POD_NAME ?? 'sample',
  };
  const fault = {
    errors: Number(env.ERROR_RATE ?? 0),
    latency: Number(env.LATENCY_MS ?? 0),
    readiness:
      env.FAIL_READINESS !== undefined && !['', '0', 'false'].includes(env.FAIL_READINESS) ? 'fail' : 'ok',
  };
  const upstreams = upstreamsOf(env);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });
  let draining = false;

  const answer = (response: http.ServerResponse, status: number, body: object) => {
    const text = `${JSON.stringify(body)}\n`;
    response.writeHead(status, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
      ...(draining ? { connection: 'close' } : {}),
    });
    response.end(text);
  };

  const call = ({ name, url }: { name: string; url: string }) =>
    new Promise<Upstream>((resolve) => {
      const request = http.get(url, { agent, timeout: UPSTREAM_TIMEOUT_MS }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
        });
        response.on('end', () =>
          resolve({ name, url, status: response.statusCode ?? 0, ...versionIn(text) }),
        );
        response.on('error', (error) => resolve({ name, url, status: 0, error: error.message }));
      });
      request.on('timeout', () => request.destroy(new Error(`no answer within ${UPSTREAM_TIMEOUT_MS} ms`)));
      request.on('error', (error) => resolve({ name, url, status: 0, error: error.message }));
    });

  // Evenly, from a random start: with dice, one of a thousand bad versions shows no error until it has all traffic.
  let due = Math.random();

  const serve = async (response: http.ServerResponse): Promise<void> => {
    if (fault.latency > 0) await new Promise((resolve) => setTimeout(resolve, fault.latency));
    due += fault.errors;
    if (due >= 1) {
      due -= 1;
      return answer(response, 500, { ...identity, error: 'injected fault' });
    }
    const upstream = await Promise.all(upstreams.map(call));
    const failed = upstream.some(({ status }) => status === 0 || status >= 500);
    answer(response, failed ? 502 : 200, upstream.length > 0 ? { ...identity, upstream } : identity);
  };

  const server = http.createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://sample');
    request.resume();
    if (pathname === '/healthz' || pathname === '/readyz') {
      const ready = fault.readiness === 'ok';
      return answer(response, ready ? 200 : 503, { ready });
    }
    if (pathname === '/fault' && request.method === 'POST') {
      if (searchParams.has('errors')) fault.errors = Number(searchParams.get('errors'));
      if (searchParams.has('latency')) fault.latency = Number(searchParams.get('latency'));
      if (searchParams.has('readiness'))
        fault.readiness = searchParams.get('readiness') === 'fail' ? 'fail' : 'ok';
      return answer(response, 200, fault);
    }
    void serve(response);
  });

  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      const address = server.address() as { port: number };
      resolve({
        port: address.port,
        // Those who still see this pod as an endpoint are served until they have heard of its end.
        stop: async () => {
          draining = true;
          await new Promise((done) => setTimeout(done, Number(env.DRAIN_MS ?? 1000)));
          await new Promise<void>((done) => {
            server.close(() => done());
            server.closeIdleConnections();
          });
          agent.destroy();
        },
      });
    });
  });
}

function versionIn(text: string): { version?: string } {
  try {
    const { version } = JSON.parse(text) as { version?: string };
    return version === undefined ? {} : { version };
  } catch {
    return {};
  }
}
