import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, type IncomingMessage, request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { json } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { FakeClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { parseConfig, type RunningMetricsStore, startMetricsStore } from '../index.ts';
import { END, fixture, START, toOpenMetrics } from './conformance-fixture.ts';
import { QUERIES, REFUSED } from './conformance-queries.ts';

const AT_A_TIME = 8;

/** Where prometheus and promtool are: WEIR_TEST_PROMETHEUS (a folder) or the PATH. */
function findPrometheus(): string | undefined {
  const folders = [process.env.WEIR_TEST_PROMETHEUS, ...(process.env.PATH ?? '').split(delimiter)];
  return folders.find((folder) => {
    try {
      for (const name of ['prometheus', 'promtool']) accessSync(join(folder!, name), constants.X_OK);
      return Boolean(folder);
    } catch {
      return false;
    }
  });
}

interface Answer {
  status: string;
  errorType?: string;
  error?: string;
  data?: { resultType: string; result: unknown };
}

const agent = new Agent({ keepAlive: true, maxSockets: AT_A_TIME });

// Thousands of questions: over kept connections and uncompressed, they cost a third of what fetch makes of them.
async function ask(url: string, path: string, parameters: Record<string, string>): Promise<Answer> {
  const body = new URLSearchParams(parameters).toString();
  const headers = {
    'content-type': 'application/x-www-form-urlencoded',
    'content-length': Buffer.byteLength(body),
  };
  const asked = request(`${url}/api/v1/${path}`, { agent, method: 'POST', headers }).end(body);
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  return (await json(response)) as Answer;
}

/** What of these questions is answered differently, several at a time. */
async function problemsOf(questions: (() => Promise<string | undefined>)[]): Promise<string[]> {
  const problems: string[] = [];
  const left = [...questions];
  const askAll = async () => {
    for (let next = left.shift(); next; next = left.shift()) {
      const problem = await next();
      if (problem) problems.push(problem);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, askAll));
  return problems;
}

type Row = { metric: Record<string, string>; value?: [number, string]; values?: [number, string][] };

/** Rows in an order of their own: vectors have none. */
function normal(data: Answer['data']): { type: string; rows: { key: string; points: [number, string][] }[] } {
  if (!data) return { type: 'none', rows: [] };
  if (data.resultType === 'scalar' || data.resultType === 'string')
    return { type: data.resultType, rows: [{ key: '', points: [data.result as [number, string]] }] };
  const rows = (data.result as Row[]).map(({ metric, value, values }) => ({
    key: JSON.stringify(Object.entries(metric).sort()),
    points: values ?? [value!],
  }));
  return { type: data.resultType, rows: rows.sort((a, b) => (a.key < b.key ? -1 : 1)) };
}

function close(a: string, b: string): boolean {
  if (a === b) return true;
  const [left, right] = [Number(a), Number(b)];
  return Math.abs(left - right) <= 1e-9 * Math.max(1, Math.abs(left), Math.abs(right));
}

/** The first difference, in words, or undefined. */
function difference(ours: Answer, theirs: Answer): string | undefined {
  if (ours.status !== theirs.status || ours.errorType !== theirs.errorType)
    return `ours ${ours.status} ${ours.error ?? ''}, theirs ${theirs.status} ${theirs.error ?? ''}`;
  const [left, right] = [normal(ours.data), normal(theirs.data)];
  if (left.type !== right.type) return `types ${left.type}, ${right.type}`;
  if (left.rows.map((row) => row.key).join() !== right.rows.map((row) => row.key).join())
    return `series ${left.rows.length} ${left.rows[0]?.key}, ${right.rows.length} ${right.rows[0]?.key}`;
  for (const [index, row] of left.rows.entries()) {
    const other = right.rows[index]!;
    if (row.points.length !== other.points.length)
      return `${row.key}: ${row.points.length} points, theirs ${other.points.length}`;
    for (const [at, [time, value]] of row.points.entries()) {
      const [theirTime, theirValue] = other.points[at]!;
      if (time !== theirTime || !close(value, theirValue))
        return `${row.key} at ${time}: ${value}, theirs ${theirValue} at ${theirTime}`;
    }
  }
  return undefined;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const folder = findPrometheus();

describe('the same samples in a real Prometheus', () => {
  let store: RunningMetricsStore;
  let theirs: string | undefined;
  let stop = async () => {};

  beforeAll(async () => {
    store = await startMetricsStore({
      config: parseConfig('{}'),
      host: '127.0.0.1',
      port: 0,
      log: silentLogger,
      clock: new FakeClock(END),
    });
    for (const { labels, samples } of fixture())
      for (const [time, value] of samples) store.store.append(labels, time, value);
    if (!folder) {
      console.log(
        'no prometheus and promtool on the PATH (or in WEIR_TEST_PROMETHEUS): answers are not compared',
      );
      return;
    }
    const directory = mkdtempSync(join(tmpdir(), 'weir-prometheus-'));
    writeFileSync(join(directory, 'samples.txt'), toOpenMetrics(fixture()));
    writeFileSync(join(directory, 'prometheus.yml'), '{}');
    const data = join(directory, 'data');
    execFileSync(
      join(folder, 'promtool'),
      ['tsdb', 'create-blocks-from', 'openmetrics', join(directory, 'samples.txt'), data],
      { stdio: 'ignore' },
    );
    const port = await freePort();
    const child = spawn(
      join(folder, 'prometheus'),
      [
        `--config.file=${join(directory, 'prometheus.yml')}`,
        `--storage.tsdb.path=${data}`,
        '--storage.tsdb.retention.time=100y',
        `--web.listen-address=127.0.0.1:${port}`,
      ],
      { stdio: 'ignore' },
    );
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    stop = async () => {
      child.kill('SIGKILL');
      await exited;
      rmSync(directory, { recursive: true, force: true });
    };
    const url = `http://127.0.0.1:${port}`;
    for (let attempt = 0; attempt < 300 && !theirs; attempt += 1) {
      const ready = await fetch(`${url}/-/ready`).then(
        (response) => response.ok,
        () => false,
      );
      if (ready) theirs = url;
      else await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(theirs).toBe(url);
  });

  afterAll(async () => {
    agent.destroy();
    await stop();
    await store.stop();
  });

  const compare = async (path: string, query: string, parameters: Record<string, string>) => {
    const [ours, other] = await Promise.all([
      ask(store.url, path, { query, ...parameters }),
      theirs && ask(theirs, path, { query, ...parameters }),
    ]);
    const problem = other && difference(ours, other);
    return problem ? `${query} (${JSON.stringify(parameters)}): ${problem}` : undefined;
  };

  test('instant queries', async () => {
    const times = [
      START - 1000,
      START + 61_234,
      START + 15 * 60_000,
      START + 1_234_567,
      END - 1,
      END + 200_000,
    ];
    const questions = QUERIES.flatMap((query) =>
      times.map((time) => () => compare('query', query, { time: (time / 1000).toFixed(3) })),
    );
    expect(await problemsOf(questions)).toEqual([]);
  });

  test('range queries', async () => {
    const range = {
      start: ((START - 30_000) / 1000).toFixed(3),
      end: ((END + 360_000) / 1000).toFixed(3),
      step: '37',
    };
    const questions = QUERIES.map((query) => () => compare('query_range', query, range));
    expect(await problemsOf(questions)).toEqual([]);
  });

  test('what is refused', async () => {
    const problems: string[] = [];
    for (const query of REFUSED) {
      const ours = await ask(store.url, 'query', { query });
      if (ours.status !== 'error') problems.push(`${query}: answered`);
      const problem = await compare('query', query, {});
      if (problem) problems.push(problem);
    }
    expect(problems).toEqual([]);
  });

  test('names, values and series', async () => {
    if (!theirs) return;
    const span = { start: String(START / 1000), end: String(END / 1000) };
    for (const [path, parameters] of [
      ['labels', span],
      ['labels', { ...span, 'match[]': 'temperature' }],
      ['label/job/values', span],
      ['label/version/values', { ...span, 'match[]': 'info{job="web"}' }],
    ] as [string, Record<string, string>][]) {
      const query = `${path}?${new URLSearchParams(parameters)}`;
      const [ours, real] = await Promise.all(
        [store.url, theirs].map((url) => fetch(`${url}/api/v1/${query}`).then((response) => response.json())),
      );
      expect(ours).toEqual(real);
    }
    const [ours, real] = await Promise.all(
      [store.url, theirs].map(async (url) =>
        normalSeries(
          await ask(url, 'series', { ...span, 'match[]': '{job=~"web|orders",__name__!~"lat.*"}' }),
        ),
      ),
    );
    expect(ours).toEqual(real);
  });
});

function normalSeries(answer: unknown): string[] {
  return (answer as { data: Record<string, string>[] }).data
    .map((labels) => JSON.stringify(Object.entries(labels).sort()))
    .sort();
}
