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
  const callers =
    greenNeedsCallers(spec) && !spec.strategy.blueGreen?.preview
      ? [{ path: ['spec', 'analysis'], message: callersRemedy(spec) }]
      : [];
  return [...callers, ...fallingWeights(spec)];
}

function fallingWeights({
  strategy: { canary },
}: RolloutSpec): { path: (string | number)[]; message: string }[] {
  const field = canary?.steps ? 'steps' : 'weights';
  const weights = canary?.steps?.map(({ weight }) => weight) ?? canary?.weights ?? [];
  return weights.flatMap((weight, at) => {
    const before = weights.slice(0, at).findLast((each) => each !== undefined);
    if (weight === undefined || before === undefined || weight > before) return [];
    return [
      {
        path: ['spec', 'strategy', 'canary', field, at, ...(canary?.steps ? ['weight'] : [])],
        message: `${weight} % after ${before} %: write weights in ascending order, each is a step of its own`,
      },
    ];
  });
}
