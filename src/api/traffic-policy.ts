import { z } from 'zod';
import { parseDuration } from '../lib/duration.ts';
import type { Condition, ObjectMeta } from './meta.ts';
import { objectName } from './scalars.ts';

/** Gateway API's Duration (GEP-2257). */
const GEP_2257 = '^([0-9]{1,5}(h|m|s|ms)){1,4}$';
const HOUR_MS = 3_600_000;

/** RFC 9110 5.6.2. */
const FIELD_NAME = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$";
const percent = z.number().min(0, 'a percentage is 0 to 100').max(100, 'a percentage is 0 to 100');

/**
 * What proxies can be told to do for a destination, each setting once: TrafficPolicies have them on a cluster, the file of
 * `weir proxy --config` without one. Parsed, they are as the proxy has them: milliseconds and shares. `duration` is how
 * a time is written there.
 */
export function policySettings(duration: z.ZodType<number, string>) {
  const some = duration.refine((milliseconds) => milliseconds > 0, 'must be more than 0');
  return {
    retries: z
      .strictObject({
        max: z.number().int().min(0).max(10).describe('Times that one request is sent again.'),
        // Not `on`, which is `true` in the YAML of kubectl, Argo CD and Flux.
        retryOn: z
          .array(z.enum(['connect', '5xx']))
          .max(2)
          .default(['connect'])
          .describe(
            'connect: no connection, or it ended before an answer; 5xx: such an answer, or gRPC UNAVAILABLE. Of requests that may be repeated.',
          ),
        budget: z
          .strictObject({
            percent: percent.default(20).describe('Retries allowed for each 100 requests …'),
            minPerSecond: z.number().min(0).max(10_000).default(10).describe('… and these on top.'),
          })
          .optional()
          .describe('So that retries cannot multiply an overload; 20 percent and 10 a second unless given.'),
      })
      .transform(({ retryOn, ...rest }) => ({ ...rest, on: retryOn }))
      .describe('Sending a request again when that is safe.'),
    breaker: z
      .strictObject({
        consecutive: z
          .number()
          .int()
          .min(0)
          .max(1_000_000)
          .default(5)
          .describe('So many failures in a row open it; 0: none do.'),
        successRate: percent
          .default(0)
          .transform((value) => value / 100)
          .describe('Percentage of successes below which it opens; 0: none.'),
        minRequests: z
          .number()
          .int()
          .min(1)
          .max(1_000_000)
          .default(20)
          .describe('Requests within the window before successRate counts.'),
        window: some.prefault('10s').describe('What successRate looks back over.'),
        eject: some.prefault('10s').describe('How long it stays open, twice as long each time in a row.'),
      })
      .refine(({ consecutive, successRate }) => consecutive > 0 || successRate > 0, {
        message: 'give consecutive or successRate: with both 0 it never opens',
      })
      .describe('Leaves out each endpoint that fails (outlier detection).'),
    rateLimit: z
      .strictObject({
        perSecond: z.number().positive('requests a second are more than 0'),
        burst: z
          .number()
          .int()
          .min(1)
          .optional()
          .describe('At once; as many as a second brings unless given.'),
      })
      .transform(({ perSecond, burst }) => ({ perSecond, burst: burst ?? Math.max(1, Math.ceil(perSecond)) }))
      .describe('Requests that one proxy lets through.'),
    maxInFlight: z.number().int().min(1).describe('Requests in flight that one proxy lets through.'),
    fault: z
      .strictObject({
        headers: z
          .array(
            z.strictObject({
              name: z
                .string()
                .max(256)
                .regex(new RegExp(FIELD_NAME), 'must be the name of a request header, such as x-fault-test')
                .transform((name) => name.toLowerCase())
                .refine(
                  (name) => name !== 'host',
                  'must be another header than host: a policy has its target',
                ),
              value: z.string().min(1).max(4096).describe('The whole value, in its case.'),
            }),
          )
          .min(1, 'give at least one header, or leave headers out for every request')
          .max(8)
          .optional()
          .describe('Only requests that have all of these headers; every request unless given.'),
        abort: z
          .strictObject({ percent, status: z.number().int().min(200).max(599).default(503) })
          .optional()
          .describe('Answers these requests itself.'),
        delay: z
          .strictObject({ percent, for: some })
          .optional()
          .describe('Holds these requests back; those that are aborted too.'),
      })
      .describe('Faults for tests of what callers do.'),
    balancer: z
      .strictObject({
        zones: z
          .enum(['prefer', 'ignore'])
          .default('prefer')
          .describe('prefer: endpoints of the own zone as far as that overloads none; ignore: all alike.'),
      })
      .describe('How an endpoint is chosen.'),
  };
}

/** At most an hour, which every timer takes. */
const duration = () =>
  z
    .string()
    .max(28)
    .regex(new RegExp(GEP_2257), 'must be a duration such as 500ms, 1s or 1m30s (GEP-2257)')
    .transform(parseDuration)
    .refine((milliseconds) => milliseconds <= HOUR_MS, 'must be at most 1h');

const targetRef = z
  .strictObject({
    group: z.enum(['']).default('').describe('Of Services: the core group.'),
    kind: z.enum(['Service']).default('Service'),
    name: objectName().describe('A Service of the same namespace.'),
    sectionName: z
      .string()
      .min(1)
      .max(63)
      .optional()
      .describe('Name of the one port that is meant; without it and without port, all are.'),
    port: z.number().int().min(1).max(65_535).optional().describe('Its number instead.'),
  })
  .refine(({ sectionName, port }) => sectionName === undefined || port === undefined, {
    message: 'give sectionName or port, not both',
  });

const { retries, breaker, rateLimit, maxInFlight, fault, balancer } = policySettings(duration());

/** The settings, in the order in which they are told. Each comes whole from one policy (ADR 0049). */
export const POLICY_SETTINGS = [
  'timeouts',
  'retries',
  'breaker',
  'rateLimit',
  'maxInFlight',
  'fault',
  'balancer',
] as const;
export type PolicySetting = (typeof POLICY_SETTINGS)[number];

export const trafficPolicySpecSchema = z
  .strictObject({
    targetRefs: z
      .array(targetRef)
      .min(1)
      .max(16)
      .refine((refs) => new Set(refs.map(targetText)).size === refs.length, 'the same target is given twice'),
    timeouts: z
      .strictObject({
        request: duration()
          .optional()
          .describe('Until the head of the response, retries included; 0s: none.'),
        backendRequest: duration()
          .optional()
          .describe('The same for each attempt, which is then made again as after a 5xx; 0s: none.'),
      })
      .refine(
        ({ request, backendRequest }) => request !== undefined || backendRequest !== undefined,
        'give request, backendRequest or both',
      )
      .refine(({ request = 0, backendRequest = 0 }) => request === 0 || backendRequest <= request, {
        path: ['backendRequest'],
        message: 'must be at most request, which it is a part of',
      })
      // The same rule where the API server can see it; below too.
      .meta({ minProperties: 1 })
      .optional(),
    retries: retries.optional(),
    breaker: breaker.optional(),
    rateLimit: rateLimit.optional(),
    maxInFlight: maxInFlight.optional(),
    fault: fault
      .refine(({ abort, delay }) => abort !== undefined || delay !== undefined, 'give abort, delay or both')
      .meta({ minProperties: 1 })
      .optional(),
    balancer: balancer.optional(),
  })
  .refine((spec) => POLICY_SETTINGS.some((setting) => spec[setting] !== undefined), {
    message: `give at least one of ${POLICY_SETTINGS.join(', ')}`,
  });

/** As proxies need it: milliseconds, shares, every default filled in. */
export type TrafficPolicySpec = z.output<typeof trafficPolicySpecSchema>;
export type PolicyTargetRef = z.output<typeof targetRef>;

/** How a target is told: `web`, `web:http`, `web:80`. */
export function targetText({
  name,
  sectionName,
  port,
}: {
  name: string;
  sectionName?: string | undefined;
  port?: number | undefined;
}): string {
  const section = sectionName ?? port;
  return section === undefined ? name : `${name}:${section}`;
}

/** As of Gateway API's PolicyStatus: what became of it at each target. */
export interface PolicyAncestorStatus {
  ancestorRef: { group: string; kind: string; name: string; sectionName?: string; port?: number };
  controllerName: string;
  conditions: Condition[];
}

export interface TrafficPolicyStatus {
  observedGeneration?: number;
  /** Of all targets together, for `kubectl wait`. */
  conditions: Condition[];
  ancestors: PolicyAncestorStatus[];
}

export interface TrafficPolicy {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
  /** As stored: parse with `trafficPolicySpecSchema` before use. */
  spec?: unknown;
  status?: TrafficPolicyStatus;
  [field: string]: unknown;
}
