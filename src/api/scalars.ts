import { z } from 'zod';
import { DURATION_PATTERN } from '../lib/duration.ts';
import './messages.ts';

const DURATION_TEXT = 'must be a duration such as 30s, 10m or 1h30m';

/** A Go or Prometheus duration in a manifest: `30s`, `10m`, `1h30m`. Parse with lib/duration. */
export const duration = () => z.string(DURATION_TEXT).regex(new RegExp(DURATION_PATTERN), DURATION_TEXT);

/** A share written `99%`; kept as written. */
export const percent = () =>
  z.string().regex(/^[0-9]+(\.[0-9]+)?%$/, 'must be a percentage such as 99% or 0.1%');

export const weight = () =>
  z
    .number()
    .int('must be a whole number')
    .min(0, 'a weight is a percentage: at least 0')
    .max(100, 'a weight is a percentage: at most 100');

/** A DNS-1123 name. */
export const objectName = () =>
  z
    .string()
    .min(1)
    .max(253)
    .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/, 'must be a lower-case DNS name');
