import type { AcknowledgementFrame } from '../api/acknowledgement.ts';

export interface Acknowledged {
  done: boolean;
  proxies: number;
  of: number;
  /** What is waited for where the counts alone would not tell. */
  why?: string;
}

/** What one replica of `weir mesh` says about one split; not live: it cannot be asked now. */
export interface Report {
  address: string;
  live: boolean;
  frames: readonly AcknowledgementFrame[];
}

/**
 * Whether every proxy routes by exactly this version. A replica speaks of every split that it knows, even when nobody
 * follows it: one that is silent, or speaks of another version, has not seen this one yet, and its proxies have not
 * either. `expected` proxies were with a replica that has gone and may not have come to another one yet.
 */
export function tally(
  split: string,
  version: string,
  reports: readonly Report[] | undefined,
  expected = 0,
): Acknowledged {
  if (reports === undefined || reports.length === 0) {
    return {
      done: false,
      proxies: 0,
      of: 0,
      why: 'no replica of weir mesh is ready to say who routes by it',
    };
  }
  let proxies = 0;
  let of = 0;
  let why: string | undefined;
  for (const { address, live, frames } of reports) {
    if (!live) why ??= `weir mesh at ${address} does not answer`;
    else if (frames.length === 0) why ??= `weir mesh at ${address} has not seen TrafficSplit ${split} yet`;
    for (const frame of live ? frames : []) {
      of += frame.subscribed;
      if (frame.version !== version) why ??= `weir mesh at ${address} has not seen its last change yet`;
      else {
        proxies += frame.acknowledged;
        if (frame.settled === false)
          why ??= `weir mesh at ${address} has just started and hears its proxies first`;
      }
    }
  }
  if (of < expected)
    why ??= `${expected - of} of the proxies of a replica of weir mesh that is gone are missing`;
  return { done: why === undefined && proxies >= of, proxies, of, ...(why === undefined ? {} : { why }) };
}
