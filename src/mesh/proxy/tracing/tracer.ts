import type { Observation, Outcome } from '../observation.ts';
import { outgoing, randomId, type TraceHeaders } from './context.ts';
import type { SpanExporter } from './exporter.ts';

export interface TracingConfig {
  /** URL that takes OTLP/HTTP JSON, such as http://collector:4318/v1/traces. */
  otlp: string;
  /** Share of the traces begun here that are recorded, 0 to 1. Callers that have decided are followed. */
  sample: number;
}

export interface Span {
  traceId: string;
  spanId: string;
  /** The caller's; undefined: the trace begins here. */
  parentId: string | undefined;
  sampled: boolean;
  /** W3C: what other tracers keep of this trace. */
  state: string | undefined;
  /** For the request as it goes on; undefined: it goes on as it came. */
  headers: [name: string, value: string][] | undefined;
}

/** Decides which requests have a span, gives them their ids, and hands the finished ones to the exporter. */
export class Tracer {
  readonly exporter: SpanExporter;
  readonly #sample: number;
  readonly #random: () => number;

  constructor(config: TracingConfig, exporter: SpanExporter, random: () => number) {
    this.exporter = exporter;
    this.#sample = config.sample;
    this.#random = random;
  }

  /** A request with these headers. undefined: it has no span, and its headers stay as they are. */
  start(headers: TraceHeaders, state: string | undefined): Span | undefined {
    const context = headers.context();
    const decided = context ? context.sampled : headers.decision;
    // Decided against by the caller: there is nothing to record and nothing to add.
    if (decided === false) return undefined;
    const sampled = decided ?? this.#random() < this.#sample;
    const traceId = context?.traceId ?? randomId(32, this.#random);
    const spanId = randomId(16, this.#random);
    const parentId = context?.parentId;
    // A new trace's id is random; of one that goes on its caller knows.
    const random = context?.random ?? true;
    return {
      traceId,
      spanId,
      parentId,
      sampled,
      state: context ? state : undefined,
      headers: outgoing(headers, { traceId, spanId, parentId, sampled, random }),
    };
  }

  ended(observation: Observation, outcome: Outcome): void {
    if (observation.span?.sampled) this.exporter.add(observation, outcome);
  }
}
