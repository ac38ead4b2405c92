import { FINE_BOUNDS, HttpSeries, LATENCY_BOUNDS, SERVER_FAULTS, TcpSeries } from './series.ts';

export type Labels = Record<string, string | undefined>;

/** `a="b",c="d"`, values escaped as the text format wants; empty ones are left out. */
export function labelText(labels: Labels): string {
  return Object.entries(labels)
    .filter(([, value]) => value !== undefined && value !== '')
    .map(
      ([name, value]) =>
        `${name}="${value!.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`,
    )
    .join(',');
}

/** Milliseconds without a change after which a series stays only as long as someone counts in it. */
const IDLE = 900_000;

interface Entry<T extends object> {
  /** Undefined once idle: `ref` alone keeps nothing alive, and what nobody holds is gone. */
  series: T | undefined;
  ref: WeakRef<T>;
  activity: number;
  changed: number;
}

type Family<T extends object> = Map<string, Entry<T>>;

/** All series of a proxy. Beyond `cap` label sets of a family, the rest share one overflow series. */
export class ProxyMetrics {
  readonly #http: Family<HttpSeries> = new Map();
  readonly #tcp: Family<TcpSeries> = new Map();
  readonly #own: Labels;
  readonly #cap: number;
  readonly #idle: number;
  readonly #started = Date.now() / 1000;
  /** Errors the proxy answered itself, by cause. */
  readonly causes = new Map<string, number>();
  /** TLS handshakes of clients that came to nothing, by cause. */
  readonly refusals = new Map<string, number>();
  /** Counters of others, without labels of their own. */
  counts: () => [name: string, help: string, value: number][] = () => [];

  /** `own`: the labels of this pod, on every series. */
  constructor(own: Labels = {}, cap = 2_000, idle = IDLE) {
    this.#own = own;
    this.#idle = idle;
    this.#cap = cap;
  }

  http(labels: Labels): HttpSeries {
    return this.#resolve(this.#http, labels, (text) => new HttpSeries(text));
  }

  tcp(labels: Labels): TcpSeries {
    return this.#resolve(this.#tcp, labels, (text) => new TcpSeries(text));
  }

  failed(cause: string): void {
    this.causes.set(cause, (this.causes.get(cause) ?? 0) + 1);
  }

  refused(cause: string): void {
    this.refusals.set(cause, (this.refusals.get(cause) ?? 0) + 1);
  }

  #resolve<T extends HttpSeries | TcpSeries>(
    family: Family<T>,
    labels: Labels,
    create: (text: string) => T,
  ): T {
    let text = labelText({ ...labels, ...this.#own });
    const known = this.#find(family, text);
    if (known) return known;
    if (family.size >= this.#cap) this.#live(family);
    if (family.size >= this.#cap)
      text = labelText({ direction: labels.direction, overflow: 'true', ...this.#own });
    const overflow = this.#find(family, text);
    if (overflow) return overflow;
    const series = create(text);
    family.set(text, { series, ref: new WeakRef(series), activity: 0, changed: performance.now() });
    return series;
  }

  #find<T extends object>(family: Family<T>, text: string): T | undefined {
    const entry = family.get(text);
    const series = entry?.ref.deref();
    if (entry && series) {
      entry.series = series;
      entry.changed = performance.now();
    }
    return series;
  }

  /** The series there are; lets go of those that stand still. */
  #live<T extends HttpSeries | TcpSeries>(family: Family<T>): T[] {
    const now = performance.now();
    const live: T[] = [];
    for (const [text, entry] of family) {
      const series = entry.ref.deref();
      if (!series) {
        family.delete(text);
        continue;
      }
      live.push(series);
      const { activity } = series;
      if (activity !== entry.activity) {
        entry.activity = activity;
        entry.changed = now;
        entry.series = series;
      } else if (now - entry.changed >= this.#idle) entry.series = undefined;
    }
    return live;
  }

  /** Prometheus text exposition format 0.0.4. */
  expose(): string {
    const out: string[] = [];
    const http = this.#live(this.#http);
    const line = (name: string, labels: string, value: number) => out.push(`${name}{${labels}} ${value}`);
    const family = (name: string, type: string, help: string) =>
      out.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);

    family('request_total', 'counter', 'Requests routed.');
    for (const series of http) line('request_total', series.labels, series.requests);
    family('response_total', 'counter', 'Final answers; those of the proxy itself count as failures.');
    for (const series of http) exposeResponses(series, line);
    family('response_latency_ms', 'histogram', 'From routing to the end of the response.');
    for (const series of http) {
      exposeHistogram('response_latency_ms', series, LATENCY_BOUNDS, series.latency, line);
    }
    family(
      'weir_response_latency_ms',
      'histogram',
      'The same in fine buckets, for destinations with a split.',
    );
    for (const series of http) {
      if (series.fine) exposeHistogram('weir_response_latency_ms', series, FINE_BOUNDS, series.fine, line);
    }
    family('weir_connect_failures_total', 'counter', 'Connections that could not be made.');
    for (const series of http) line('weir_connect_failures_total', series.labels, series.connectFailures);
    family('weir_retries_total', 'counter', 'Requests sent again.');
    for (const series of http) line('weir_retries_total', series.labels, series.retries);

    const tcp = this.#live(this.#tcp);
    const families: [string, string, string, (series: TcpSeries) => number][] = [
      ['tcp_open_total', 'counter', 'Connections opened.', (series) => series.opened],
      ['tcp_open_connections', 'gauge', 'Connections open.', (series) => series.opened - series.closed],
      ['tcp_read_bytes_total', 'counter', 'Bytes read.', (series) => series.read],
      ['tcp_write_bytes_total', 'counter', 'Bytes written.', (series) => series.written],
      ['tcp_close_total', 'counter', 'Connections closed.', (series) => series.closed],
    ];
    for (const [name, type, help, value] of families) {
      family(name, type, help);
      for (const series of tcp) line(name, series.labels, value(series));
    }
    const byCause: [string, string, ReadonlyMap<string, number>][] = [
      ['weir_proxy_errors_total', 'Errors the proxy answered itself, by cause.', this.causes],
      [
        'weir_tls_handshake_failures_total',
        'TLS handshakes of clients that came to nothing, by cause.',
        this.refusals,
      ],
    ];
    for (const [name, help, counts] of byCause) {
      family(name, 'counter', help);
      for (const [cause, count] of counts) line(name, labelText({ cause, ...this.#own }), count);
    }
    for (const [name, help, value] of this.counts()) {
      family(name, 'counter', help);
      line(name, labelText(this.#own), value);
    }
    const memory = process.memoryUsage();
    const cpu = process.cpuUsage();
    out.push('# TYPE process_start_time_seconds gauge', `process_start_time_seconds ${this.#started}`);
    out.push('# TYPE process_resident_memory_bytes gauge', `process_resident_memory_bytes ${memory.rss}`);
    out.push(
      '# TYPE process_cpu_seconds_total counter',
      `process_cpu_seconds_total ${(cpu.user + cpu.system) / 1e6}`,
    );
    return `${out.join('\n')}\n`;
  }
}

type Line = (name: string, labels: string, value: number) => void;

function exposeResponses(series: HttpSeries, line: Line): void {
  const counts = new Map<string, number>();
  const add = (classification: string, status: number, count: number, grpc = -1) => {
    const code = grpc < 0 ? '' : `,grpc_status_code="${grpc}"`;
    const labels = join(series.labels, `classification="${classification}",status_code="${status}"${code}`);
    counts.set(labels, (counts.get(labels) ?? 0) + count);
  };
  for (const [index, count] of series.answered.entries()) {
    if (count > 0) add(index >= 400 ? 'failure' : 'success', index + 100, count);
  }
  for (const [grpc, count] of series.grpc?.entries() ?? []) {
    if (count > 0) add(SERVER_FAULTS.has(grpc) ? 'failure' : 'success', 200, count, grpc);
  }
  for (const [key, count] of series.own) add('failure', Math.floor(key / 100), count, (key % 100) - 1);
  for (const [labels, count] of counts) line('response_total', labels, count);
}

function exposeHistogram(
  name: string,
  series: HttpSeries,
  bounds: readonly number[],
  buckets: Float64Array,
  line: Line,
): void {
  let total = 0;
  for (const [index, bound] of bounds.entries()) {
    total += buckets[index]!;
    line(`${name}_bucket`, join(series.labels, `le="${Number(bound.toPrecision(6))}"`), total);
  }
  line(`${name}_bucket`, join(series.labels, 'le="+Inf"'), total + buckets[bounds.length]!);
  line(`${name}_sum`, series.labels, series.latencySum);
  line(`${name}_count`, series.labels, total + buckets[bounds.length]!);
}

function join(labels: string, more: string): string {
  return labels === '' ? more : `${labels},${more}`;
}
