import type { AnalysisSpec, MetricStatus } from '../api/rollout.ts';

/** One number a provider measured, or why there is none. Errors are not failures: they hold. */
export type Measurement =
  | { kind: 'value'; value: number; samples?: number; query: string }
  | { kind: 'no-data'; query: string; message: string }
  | { kind: 'error'; query: string; message: string };

export interface RevisionRef {
  namespace: string;
  service: string;
  port: number;
  deployment: string;
  /** pod-template-hash of the canary and of stable. */
  canary: string;
  stable: string;
  /** Other Services whose requests to these revisions count too, such as a blue/green preview. */
  alsoServices?: string[];
}

/** Reads numbers from somewhere. Never throws for a missing or broken backend: that is a Measurement. */
export interface MetricProvider {
  query(expression: string, signal: AbortSignal): Promise<Measurement>;
  /**
   * Several at once, in as few requests as it takes. Each yields an instant vector of one element at most, and not a
   * scalar; that is the case for what the judge builds itself, and an error of one is an error of all.
   */
  queries(expressions: readonly string[], signal: AbortSignal): Promise<Map<string, Measurement>>;
}

/** What the judge says after one look. `hold` means not enough to decide; it never counts as failure. */
export interface Verdict {
  decision: 'pass' | 'hold' | 'fail';
  reason: string;
  message: string;
  metrics: MetricStatus[];
  /** Canary requests since the step began. */
  requests: number | undefined;
  /** Failed canary requests since the run began, for the report after a rollback. */
  failedRequests: number | undefined;
  /** Opaque to everyone but the judge; persisted with the Rollout so that a restart loses no evidence. */
  memory: JudgeMemory;
}

export type JudgeMemory = Record<string, { failures: number; [field: string]: unknown }>;

export interface JudgeInput {
  spec: AnalysisSpec;
  revisions: RevisionRef;
  /** Milliseconds since the epoch. */
  now: number;
  stepStartedAt: number;
  runStartedAt: number;
  memory: JudgeMemory;
  /** All requests go to the canary: stable is known from the looks before only. */
  alone?: boolean;
}

/** The seam: threshold analysis today, the sequential judge behind the same call later. */
export interface Judge {
  look(input: JudgeInput, signal: AbortSignal): Promise<Verdict>;
}
