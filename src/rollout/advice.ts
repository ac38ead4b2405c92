import type { RolloutSpec } from '../api/rollout.ts';

/** Green is judged before it goes live on metrics that only its callers make, and it has no callers of its own then. */
export function greenNeedsCallers({ strategy, analysis }: RolloutSpec): boolean {
  if (!strategy.blueGreen || analysis.noData === 'pass') return false;
  return !analysis.metrics.every(({ prometheus, templateRef }) => prometheus ?? templateRef);
}

/** What to do about it, in the user's own names. */
export function callersRemedy({ strategy }: RolloutSpec): string {
  const preview = strategy.blueGreen?.preview?.service;
  const call = preview
    ? `send test traffic to Service ${preview}`
    : 'set strategy.blueGreen.preview.service and send test traffic there';
  return `green has no user traffic before it goes live: ${call}, judge it by a query of your own, or set analysis.noData: pass`;
}

/** Specs that are valid and will disappoint. Field paths as in the schema's errors. Pure. */
export function specWarnings(spec: RolloutSpec): { path: (string | number)[]; message: string }[] {
  if (!greenNeedsCallers(spec) || spec.strategy.blueGreen?.preview) return [];
  return [{ path: ['spec', 'analysis'], message: callersRemedy(spec) }];
}
