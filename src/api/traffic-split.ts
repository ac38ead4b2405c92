import { z } from 'zod';
import { kinds } from './kinds.ts';
import type { ObjectMeta } from './meta.ts';
import { objectName } from './scalars.ts';

/** The versions that are served, the stored one first. */
export const TRAFFIC_SPLIT_VERSIONS = [kinds.TrafficSplit.version, 'v1alpha2'];

/** SMI TrafficSplit, the same in every version: weights are relative integers; 0 means none. */
export const trafficSplitSpecSchema = z.strictObject({
  service: z.string().min(1).describe('The root Service: a name, or name.namespace.'),
  backends: z
    .array(z.strictObject({ service: objectName(), weight: z.number().int().min(0) }))
    .min(1)
    .max(50),
  matches: z
    .array(z.strictObject({ apiGroup: z.string().optional(), kind: z.string(), name: objectName() }))
    .optional()
    .describe('HTTPRouteGroups (v1alpha4); not served by this version.'),
});

export type TrafficSplitSpec = z.output<typeof trafficSplitSpecSchema>;

export interface TrafficSplit {
  apiVersion: string;
  kind: 'TrafficSplit';
  metadata: ObjectMeta;
  spec: TrafficSplitSpec;
  [field: string]: unknown;
}
