/** What is decided about a request before it is routed: whether it is let in, and the fault that its policy makes. */
import type { Cause } from './answers.ts';
import type { Runtime } from './runtime.ts';
import type { RoutingTable } from './table.ts';

/** Why a request that has just been counted as in flight is turned away; undefined: it is let in. Takes from the rate limit. */
export function refusal(
  { inFlight, limits }: Pick<Runtime, 'inFlight' | 'limits'>,
  {
    policy,
    flight,
    rateLimit,
    destination,
  }: Pick<RoutingTable, 'policy' | 'flight' | 'rateLimit' | 'destination'>,
  now: number,
): { cause: Cause; detail: string } | undefined {
  if (inFlight > limits.inFlight)
    return { cause: 'overload', detail: 'too many requests in flight; scale out or raise limits.inFlight' };
  const { maxInFlight } = policy;
  if (maxInFlight !== undefined && flight.count > maxInFlight)
    return { cause: 'overload', detail: `more than ${maxInFlight} requests in flight to ${destination.key}` };
  if (rateLimit?.take(now) === false) {
    const { perSecond } = rateLimit.policy;
    return {
      cause: 'rate-limited',
      detail: `more than ${perSecond} requests a second to ${destination.key}`,
    };
  }
  return undefined;
}

type Fault = NonNullable<RoutingTable['policy']['fault']>;

/** Whether the fault is meant for a request with these headers. */
export const concerns = ({ headers }: Fault, header: (name: string) => string | undefined): boolean =>
  headers?.every(({ name, value }) => header(name) === value) ?? true;
