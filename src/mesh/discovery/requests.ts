import { AppError } from '../../lib/errors.ts';
import type { AckRequest, SubscriptionRequest } from './model.ts';

// By hand, not by zod: a thousand proxies acknowledge within milliseconds of one another.

export function parseSubscriptions(body: unknown): SubscriptionRequest {
  const { session, add = [], remove = [] } = record(body);
  if (typeof session !== 'string' || !isStrings(add) || !isStrings(remove))
    throw new AppError('BadRequest', 'Send {"session": string, "add": string[], "remove": string[]}');
  return { session, add, remove };
}

export function parseAcks(body: unknown): AckRequest {
  const { session, acks, ping } = record(body);
  if (
    typeof session !== 'string' ||
    !Array.isArray(acks) ||
    !acks.every(isAck) ||
    (ping !== undefined && typeof ping !== 'number')
  )
    throw new AppError(
      'BadRequest',
      'Send {"session": string, "acks": [{"key": string, "version": number, "split"?: string}], "ping"?: number}',
    );
  return { session, acks, ...(ping === undefined ? {} : { ping }) };
}

function isAck(value: unknown): value is AckRequest['acks'][number] {
  const { key, version, split } = record(value);
  return (
    typeof key === 'string' &&
    typeof version === 'number' &&
    (split === undefined || typeof split === 'string')
  );
}

const record = (value: unknown): Record<string, unknown> =>
  value !== null && typeof value === 'object' ? (value as Record<string, unknown>) : {};

const isStrings = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((each) => typeof each === 'string');
