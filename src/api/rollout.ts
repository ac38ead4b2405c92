import { z } from 'zod';
import type { Condition, ObjectMeta } from './meta.ts';
import { duration, objectName, percent, weight } from './scalars.ts';

const step = z
  .strictObject({
    weight: weight().optional().describe('Percentage of requests sent to the canary, 0 to 100.'),
    dwell: duration().optional().describe('Least time at this weight; default: spec.strategy.canary.dwell.'),
    pause: z
      .strictObject({
        for: duration().optional().describe('Wait this long; without it, until a person approves.'),
      })
      .optional()
      .describe('Hold here until approved (spec.approve or `weir rollouts promote`), or for a time.'),
  })
  .refine((value) => (value.weight === undefined) !== (value.pause === undefined), {
    message: 'a step is either a weight (with an optional dwell) or a pause',
  });

const canary = z
  .strictObject({
    steps: z
      .array(step)
      .min(1)
      .max(100)
      .optional()
      .describe('Weights and pauses in order. 100 % follows the last step.'),
    weights: z.array(weight()).min(1).max(100).optional().describe('Short for steps of these weights.'),
    dwell: duration().default('1m').describe('Least time at each weight.'),
    progression: z.enum(['steps']).default('steps').describe('steps: weights and pauses as declared.'),
    replicas: z
      .enum(['weighted', 'full'])
      .default('weighted')
      .describe('weighted: max(1, ceil(weight x N)) canary pods, never fewer again; full: N from the start.'),
  })
  .refine((value) => (value.steps === undefined) !== (value.weights === undefined), {
    message: 'give exactly one of steps and weights',
  });

const blueGreen = z.strictObject({
  preview: z
    .strictObject({
      service: objectName().describe('Service that Weir points at the green pods before they go live.'),
    })
    .optional(),
  autoPromote: z
    .boolean()
    .default(true)
    .describe('false: green waits for approval after its analysis passed.'),
  dwell: duration().default('1m').describe('How long green is judged before it goes live.'),
  keepBlue: duration()
    .default('0s')
    .describe('Keep blue full and judge green for this long after the flip; fail = instant flip back.'),
});

const prometheusMetric = z.strictObject({
  query: z.string().min(1).describe('PromQL that yields one number.'),
});

const threshold = z
  .strictObject({
    min: z.union([z.number(), percent(), duration()]).optional(),
    max: z.union([z.number(), percent(), duration()]).optional(),
  })
  .refine((value) => value.min !== undefined || value.max !== undefined, {
    message: 'give min, max or both',
  })
  // The same rule where the API server can see it.
  .meta({ minProperties: 1 });

const compare = z.strictObject({
  to: z.literal('stable'),
  tolerance: z
    .strictObject({
      ratio: z.number().min(1).default(1).describe('Canary may be this many times as bad as stable.'),
      absolute: z
        .union([percent(), duration(), z.number()])
        .optional()
        .describe('… plus this much: 0.1%, 20ms.'),
    })
    .prefault({}),
});

const NO_DATA = ['hold', 'pass', 'fail'] as const;

const metric = z
  .strictObject({
    name: z
      .string()
      .regex(/^[a-z][-a-z0-9]*$/, 'must be lower case: letters, digits and dashes')
      .max(63),
    quantile: z.number().gt(0).lt(1).optional().describe('For latency: which quantile, default 0.99.'),
    prometheus: prometheusMetric.optional(),
    templateRef: z
      .strictObject({
        name: objectName(),
        args: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).default({}),
      })
      .optional()
      .describe('A MetricTemplate of the same namespace and values for its arguments.'),
    threshold: threshold.optional(),
    compare: compare.optional().describe('Judge the canary against stable instead of a fixed limit.'),
    over: duration().default('1m').describe('Window of the built-in queries.'),
    failureLimit: z
      .number()
      .int()
      .min(0)
      .max(1000)
      .default(3)
      .describe('Failed measurements in a row that roll back.'),
    noData: z.enum(NO_DATA).optional().describe('Overrides analysis.noData for this metric.'),
  })
  .refine((value) => value.threshold !== undefined || value.compare !== undefined, {
    message: 'give a threshold, or compare: {to: stable}',
  })
  .refine((value) => !(value.prometheus && value.templateRef), {
    message: 'give prometheus or templateRef, not both',
  })
  .refine(
    (value) =>
      value.prometheus !== undefined ||
      value.templateRef !== undefined ||
      ['success-rate', 'latency'].includes(value.name),
    {
      path: ['name'],
      message:
        'built-in metrics are success-rate and latency; any other name needs prometheus.query or templateRef',
    },
  )
  .refine((value) => !(value.compare && (value.prometheus ?? value.templateRef)), {
    path: ['compare'],
    message: 'compare works on the built-in metrics; use threshold with a query',
  });

const DEFAULT_METRICS = [
  { name: 'success-rate', threshold: { min: '99%' } },
  { name: 'latency', quantile: 0.99, threshold: { max: '500ms' } },
];

const analysis = z.strictObject({
  interval: duration().default('5s').describe('Time between two looks at the metrics.'),
  metrics: z.array(metric).min(1).max(20).prefault(DEFAULT_METRICS),
  noData: z.enum(NO_DATA).default('hold'),
  minRequests: z
    .number()
    .int()
    .min(0)
    .default(50)
    .describe('Canary requests a step needs before it may end.'),
  inconclusive: z
    .strictObject({
      after: duration().default('2h'),
      then: z.enum(['pause', 'promote', 'rollback']).default('pause'),
    })
    .prefault({})
    .describe('What to do when a step has not been decided for this long.'),
});

const window = z
  .strictObject({
    allow: z.string().optional().describe('Cron expression at which an allowed window opens.'),
    freeze: z.string().optional().describe('Cron expression at which a freeze begins; wins over allow.'),
    for: duration(),
    timeZone: z.string().default('UTC').describe('IANA name, such as Europe/Copenhagen.'),
  })
  .refine((value) => (value.allow === undefined) !== (value.freeze === undefined), {
    message: 'give exactly one of allow and freeze',
  });

export const rolloutSpecSchema = z.strictObject({
  targetRef: z.strictObject({
    apiVersion: z.string().default('apps/v1'),
    kind: z.string().default('Deployment'),
    name: objectName(),
  }),
  service: z.strictObject({ name: objectName(), port: z.number().int().min(1).max(65535) }),
  traffic: z.strictObject({ router: z.enum(['mesh']).default('mesh') }).prefault({}),
  strategy: z
    .strictObject({ canary: canary.optional(), blueGreen: blueGreen.optional() })
    .refine((value) => (value.canary === undefined) !== (value.blueGreen === undefined), {
      message: 'give exactly one of canary and blueGreen',
    }),
  analysis: analysis.prefault({}),
  watch: duration().default('0s').describe('Keep stable full and go on judging for this long at 100 %.'),
  windows: z.array(window).max(50).default([]),
  progressDeadline: duration()
    .default('10m')
    .describe('For pods and acknowledgements; not for pauses, windows or missing data.'),
  approve: z.string().default('').describe('Image tag or digest prefix that is approved.'),
  retry: z.string().default('').describe('Change it to retry a failed revision.'),
  suspend: z.boolean().default(false).describe('Start no new run.'),
  allowRecreate: z.boolean().default(false).describe('Accept a Deployment with strategy Recreate.'),
  onDelete: z
    .enum(['Hold', 'Release'])
    .default('Hold')
    .describe('When the Rollout is deleted mid-run: keep the new template held, or let it go.'),
});

/** A parsed spec: every default filled in. */
export type RolloutSpec = z.output<typeof rolloutSpecSchema>;
export type RolloutStep = z.output<typeof step>;
export type AnalysisSpec = z.output<typeof analysis>;
export type MetricSpec = z.output<typeof metric>;
export type WindowSpec = z.output<typeof window>;

export const PHASES = [
  'Initializing',
  'Healthy',
  'Waiting',
  'Preparing',
  'Progressing',
  'Watching',
  'Promoting',
  'RollingBack',
  'Failed',
] as const;
export type Phase = (typeof PHASES)[number];

export interface RevisionStatus {
  /** sha-256 of the defaulted pod template as canonical JSON, hex. */
  digest: string;
  replicaSet: string;
  /** Value of pod-template-hash on its pods: the `revision` label of the metrics. */
  hash: string;
  images: string[];
  startedAt?: string;
}

export interface MetricStatus {
  name: string;
  verdict: 'pass' | 'fail' | 'hold' | 'error';
  /** Ratios for rates, seconds for latency; absent without data. */
  canary?: number;
  stable?: number;
  threshold?: string;
  unit?: string;
  samples?: number;
  failures?: number;
  query?: string;
  message?: string;
  at?: string;
}

export interface HistoryEntry {
  at: string;
  from: Phase;
  to: Phase;
  reason: string;
  message: string;
  /** Who approved, promoted, aborted, … where a person did. */
  by?: string;
}

/** What a person sees in status; `machine` is what the controller needs to go on after a restart. */
export interface RolloutStatus {
  observedGeneration?: number;
  phase: Phase;
  message?: string;
  conditions: Condition[];
  stable?: RevisionStatus;
  canary?: RevisionStatus;
  step?: { index: number; of: number; weight: number; since: string };
  traffic?: {
    stable: number;
    canary: number;
    acknowledged?: { proxies: number; of: number };
    version?: string;
  };
  analysis?: { verdict: string; requests?: number; metrics: MetricStatus[]; failedRequests?: number };
  history: HistoryEntry[];
  machine?: unknown;
}

export interface Rollout {
  apiVersion: string;
  kind: 'Rollout';
  metadata: ObjectMeta;
  /** As stored: parse with `rolloutSpecSchema` before use. */
  spec: unknown;
  status?: RolloutStatus;
  [field: string]: unknown;
}
