/** The file of `weir proxy --config`: its shape is part of the public interface (docs/proxy.md). */
import { z } from 'zod';
import { proxyLimits } from '../../api/proxy-limits.ts';
import { policySettings } from '../../api/traffic-policy.ts';
import { DURATION_PATTERN, parseDuration } from '../../lib/duration.ts';

const duration = z
  .string()
  .regex(new RegExp(DURATION_PATTERN), 'write a number and a unit, such as 250ms, 5s or 1m30s')
  .transform(parseDuration);

const address = z
  .string()
  .regex(/^(\[[0-9a-fA-F:.]+\]|[^:\s]*):\d{1,5}$/, 'write host:port, such as 127.0.0.1:8080')
  .refine((text) => Number(text.slice(text.lastIndexOf(':') + 1)) <= 65_535, 'a port is at most 65535');

const endpoint = z.strictObject({
  address: address.refine(
    (text) => !text.startsWith(':'),
    'an endpoint needs a host, such as 127.0.0.1:9001',
  ),
  identity: z
    .string()
    .regex(/^spiffe:\/\/[^/]+\/ns\/[^/]+\/sa\/[^/]+$/, 'write spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT')
    .optional(),
  pod: z.string().optional(),
  zone: z.string().optional(),
  revision: z.string().optional(),
  deployment: z.string().optional(),
});

const backend = z.strictObject({
  name: z.string().min(1),
  weight: z.number().min(0, 'a weight is 0 or more').default(1),
  revision: z.string().optional(),
  deployment: z.string().optional(),
  endpoints: z.array(endpoint).default([]),
});

const { retries, breaker, rateLimit, maxInFlight, fault, balancer } = policySettings(duration);

/** The settings of a TrafficPolicy, told there. */
const policy = z.strictObject({
  timeout: duration.optional(),
  attemptTimeout: duration.optional(),
  retries: retries.optional(),
  breaker: breaker.optional(),
  rateLimit: rateLimit.optional(),
  maxInFlight: maxInFlight.optional(),
  fault: fault.optional(),
  balancer: balancer.optional(),
});

const destination = z.strictObject({
  namespace: z.string().default(''),
  protocol: z.enum(['detect', 'http1', 'http2', 'tcp']).default('detect'),
  backends: z
    .array(backend)
    .refine(
      (backends) => new Set(backends.map(({ name }) => name)).size === backends.length,
      'two backends have the same name: metrics could not tell them apart',
    ),
  policy: policy.default({}),
});

export const proxyFile = z.strictObject({
  admin: z.strictObject({ listen: address }).optional(),
  identity: z.strictObject({ certificate: z.string(), key: z.string(), trust: z.string() }).optional(),
  inbound: z
    .array(
      z.strictObject({
        listen: address,
        forward: address,
        tls: z.enum(['required', 'permissive', 'off']).default('required'),
        protocol: z.enum(['detect', 'http1', 'http2', 'tcp']).optional(),
      }),
    )
    .default([]),
  outbound: z.array(z.strictObject({ listen: address, destination: z.string() })).default([]),
  destinations: z.record(z.string(), destination).default({}),
  limits: proxyLimits.default({}),
  zone: z.string().min(1).optional(),
  tracing: z
    .strictObject({
      otlp: z.url({ protocol: /^https?$/, error: 'write a URL, such as http://127.0.0.1:4318/v1/traces' }),
      sample: z.number().min(0, 'a share is 0 to 1').max(1, 'a share is 0 to 1').default(0.01),
    })
    .optional(),
  accessLog: z.strictObject({ file: z.string().min(1).default('-') }).optional(),
  drain: z.strictObject({ grace: duration.optional() }).default({}),
});

export type ProxyFile = z.infer<typeof proxyFile>;
