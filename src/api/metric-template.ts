import { z } from 'zod';
import './messages.ts';
import type { ObjectMeta } from './meta.ts';

export const metricTemplateSpecSchema = z.strictObject({
  query: z
    .string()
    .min(1)
    .describe(
      'PromQL with {{ name }} where an argument goes; namespace, service, canary, stable and window are given.',
    ),
  args: z
    .array(
      z.strictObject({
        name: z.string().regex(/^[a-z][a-zA-Z0-9_]*$/, 'must start with a lower-case letter'),
        type: z.enum(['string', 'number', 'boolean', 'duration']).default('string'),
        default: z.union([z.string(), z.number(), z.boolean()]).optional(),
      }),
    )
    .max(20)
    .default([]),
  unit: z.enum(['ratio', 'percent', 'seconds', 'milliseconds', 'count']).default('count'),
});

export type MetricTemplateSpec = z.output<typeof metricTemplateSpecSchema>;

export interface MetricTemplate {
  apiVersion: string;
  kind: 'MetricTemplate';
  metadata: ObjectMeta;
  spec: unknown;
  [field: string]: unknown;
}
