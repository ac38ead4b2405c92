/** Who watches requests: tracing, the access log, taps. While there is nobody, requests pass without a trace of this. */
import { recordOf } from './access-log/line.ts';
import { LineWriter } from './access-log/writer.ts';
import type { ProxyConfig } from './config.ts';
import { Observation, type Outcome, type RequestFacts } from './observation.ts';
import { type Head, STRIDE } from './protocol/http1/head.ts';
import { Field } from './protocol/http2/field.ts';
import type { FieldList } from './protocol/http2/list.ts';
import type { Runtime } from './runtime.ts';
import type { Stack } from './stack.ts';
import type { TapFilter } from './tap/filter.ts';
import { type Sink, Tap } from './tap/tap.ts';
import { isTraceHeader, TraceHeaders } from './tracing/context.ts';
import { SpanExporter } from './tracing/exporter.ts';
import { type Span, Tracer } from './tracing/tracer.ts';
import type { Connection } from './transport/types.ts';

/** Views at a time, so that watching cannot become the work. */
const MAX_TAPS = 16;

type Settings = Pick<ProxyConfig, 'tracing' | 'accessLog'>;

export class Observers {
  readonly #runtime: Runtime;
  readonly #labels: Record<string, string>;
  #tracer: Tracer | undefined;
  #log: LineWriter | undefined;
  readonly #taps = new Set<Tap>();
  readonly #headers = new TraceHeaders();
  /** Of exporters and writers that are gone. */
  readonly #before = { exported: 0, spansDropped: 0, linesDropped: 0 };

  constructor(runtime: Runtime, labels: Record<string, string> = {}) {
    this.#runtime = runtime;
    this.#labels = labels;
  }

  /** Takes over settings; what goes on as it was keeps its queue. A log file is opened again, as after a rotation. */
  configure({ tracing, accessLog }: Settings): void {
    const { log, random } = this.#runtime;
    if (tracing?.otlp !== this.#tracer?.exporter.url) {
      const gone = this.#tracer?.exporter;
      this.#tracer = undefined;
      if (gone) void this.#retire(gone);
    }
    if (tracing) {
      const problem = (error: string) =>
        log.warn({ error }, 'spans could not be exported; is the collector there?');
      const exporter =
        this.#tracer?.exporter ?? new SpanExporter({ url: tracing.otlp, labels: this.#labels, problem });
      this.#tracer = new Tracer(tracing, exporter, random);
    }
    if (accessLog && this.#log?.file === accessLog.file) this.#log.reopen();
    else {
      if (this.#log) void this.#close(this.#log);
      const problem = (error: string) => log.error({ error }, 'the access log cannot be written');
      this.#log = accessLog && new LineWriter(accessLog.file, { problem });
    }
    this.#show();
  }

  async #retire(exporter: SpanExporter): Promise<void> {
    await exporter.stop();
    this.#before.exported += exporter.exported;
    this.#before.spansDropped += exporter.dropped;
  }

  async #close(writer: LineWriter): Promise<void> {
    await writer.stop();
    this.#before.linesDropped += writer.dropped;
  }

  #show(): void {
    const anybody = this.#tracer !== undefined || this.#log !== undefined || this.#taps.size > 0;
    this.#runtime.observers = anybody ? this : undefined;
  }

  /** undefined: there are as many as may be. */
  tap(filter: TapFilter, sink: Sink): { drained(): void; close(): void } | undefined {
    if (this.#taps.size >= MAX_TAPS) return undefined;
    const tap = new Tap(filter, sink, () => this.#runtime.now());
    this.#taps.add(tap);
    this.#show();
    return {
      drained: () => tap.drained(),
      close: () => {
        this.#taps.delete(tap);
        this.#show();
      },
    };
  }

  /** A request of HTTP/1.1. Lines of its head that are written anew are marked as dropped. */
  http1(stack: Stack, connection: Connection, head: Head, input: Buffer): Observation {
    const headers = this.#headers;
    headers.reset();
    let authority = '';
    let clientState: string | undefined;
    let states = 0;
    let grpc = false;
    for (let index = 0; index < head.count; index += 1) {
      const at = index * STRIDE;
      const size = head.fields[at + 1]! - head.fields[at]!;
      // host, b3, tracestate, traceparent, content-type and the x-b3- family, by their lengths.
      if (size !== 4 && size !== 2 && (size < 9 || size > 17)) continue;
      const [name, value] = head.field(input, index);
      if (name === 'host') authority = value;
      else if (name === 'tracestate') {
        states += 1;
        clientState = states === 1 ? value : `${clientState},${value}`;
      } else if (name === 'content-type') grpc = value.startsWith('application/grpc');
      else if (this.#tracer || name === 'traceparent') headers.note(name, value);
    }
    const span = this.#tracer?.start(headers, clientState);
    if (span?.headers) {
      for (let index = 0; index < head.count; index += 1) {
        const [name] = head.field(input, index);
        // The state of a trace that is not gone on with says nothing of the new one (W3C 3.3).
        if (!isTraceHeader(name) && !(name === 'tracestate' && span.state === undefined)) continue;
        head.fields[index * STRIDE + 4] = 1;
        head.dropped = true;
      }
    }
    const target = head.target(input);
    const absolute = /^https?:\/\/([^/?#]*)([^?#]*)/i.exec(target);
    return this.#observation(stack, connection, span, {
      method: head.method(input),
      path: absolute ? absolute[2] || '/' : target.replace(/[?#].*$/, ''),
      authority: absolute?.[1] || authority,
      version: head.minor === 0 ? '1.0' : '1.1',
      grpc,
    });
  }

  /** A request of HTTP/2. Its list is changed where headers are written anew. */
  http2(stack: Stack, connection: Connection, list: FieldList): Observation {
    const headers = this.#headers;
    headers.reset();
    let state: string | undefined;
    for (let index = 0; index < list.count; index += 1) {
      const { name, value } = list.items[index]!;
      if (name === 'tracestate') state = state === undefined ? value : `${state},${value}`;
      else if (isTraceHeader(name)) headers.note(name, value);
    }
    const span = this.#tracer?.start(headers, state);
    if (span?.headers) {
      let kept = 0;
      for (let index = 0; index < list.count; index += 1) {
        const field = list.items[index]!;
        if (isTraceHeader(field.name) || (field.name === 'tracestate' && span.state === undefined)) {
          list.size -= field.size;
          continue;
        }
        list.items[kept] = field;
        kept += 1;
      }
      list.count = kept;
      for (const [name, value] of span.headers) list.append(new Field(name, value));
    }
    return this.#observation(stack, connection, span, {
      method: list.method!.value,
      path: (list.path?.value ?? '').replace(/[?#].*$/, ''),
      authority: list.authority?.value ?? list.host?.value ?? '',
      version: '2',
      grpc: list.grpc,
    });
  }

  #observation(
    stack: Stack,
    connection: Connection,
    span: Span | undefined,
    request: Pick<RequestFacts, 'method' | 'path' | 'authority' | 'version' | 'grpc'>,
  ): Observation {
    const facts: RequestFacts = {
      ...request,
      direction: stack.direction,
      destination: stack.table.destination.key,
      secure: connection.secure,
      clientId: connection.peerIdentity,
      traceId: span?.traceId ?? this.#headers.context()?.traceId,
    };
    return new Observation(facts, span, this.#runtime.moment(), this.#ended);
  }

  readonly #ended = (observation: Observation, outcome: Outcome): void => {
    this.#tracer?.ended(observation, outcome);
    if (!this.#log && this.#taps.size === 0) return;
    const record = recordOf(observation, outcome, this.#labels.revision);
    this.#log?.add(`${JSON.stringify(record)}\n`);
    for (const tap of this.#taps) tap.offer(record);
  };

  /** For /metrics: what was exported and what was not. */
  counts(): [name: string, help: string, value: number][] {
    const exporter = this.#tracer?.exporter;
    const { exported, spansDropped, linesDropped } = this.#before;
    return [
      [
        'weir_trace_spans_exported_total',
        'Spans that the collector took.',
        exported + (exporter?.exported ?? 0),
      ],
      ['weir_trace_spans_dropped_total', 'Spans it did not.', spansDropped + (exporter?.dropped ?? 0)],
      [
        'weir_access_log_dropped_total',
        'Lines that were not written.',
        linesDropped + (this.#log?.dropped ?? 0),
      ],
    ];
  }

  /** Sends and writes what waits, as far as `patience` milliseconds allow: who takes nothing holds up no end. */
  async stop(patience = 2_000): Promise<void> {
    const log = this.#log;
    const exporter = this.#tracer?.exporter;
    this.#log = undefined;
    this.#tracer = undefined;
    this.#show();
    let timer: NodeJS.Timeout | undefined;
    const enough = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, patience);
    });
    const all = Promise.all([log && this.#close(log), exporter && this.#retire(exporter)]);
    await Promise.race([all, enough]);
    clearTimeout(timer);
  }
}

/** Header lines of HTTP/1.1 for the span of a request, if it has any. */
export function traceLines(span: Span | undefined): Buffer | undefined {
  if (!span?.headers) return undefined;
  return Buffer.from(span.headers.map(([name, value]) => `${name}: ${value}\r\n`).join(''), 'latin1');
}
