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
export { askPrometheus, type PrometheusOptions, prometheusProvider } from './prometheus.ts';
