export { createJudge, type JudgeOptions } from './judge.ts';
export type {
  Judge,
  JudgeInput,
  JudgeMemory,
  Measurement,
  MetricProvider,
  RevisionRef,
  Verdict,
} from './ports.ts';
export { type PrometheusOptions, prometheusProvider } from './prometheus.ts';
