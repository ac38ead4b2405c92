import type { RolloutSpec } from '../../api/rollout.ts';
import type { Run } from './types.ts';

export type PlannedStep =
  | { kind: 'weight'; weight: number; dwell: string; judged: boolean }
  | { kind: 'pause'; for?: string };

/** The declared steps as the machine walks them: the implied 100 % at the end, blue/green as 0 % judged, then all. */
export function planOf(spec: RolloutSpec): PlannedStep[] {
  const { canary, blueGreen } = spec.strategy;
  if (blueGreen) {
    return [
      { kind: 'weight', weight: 0, dwell: blueGreen.dwell, judged: true },
      ...(blueGreen.autoPromote ? [] : [{ kind: 'pause' as const }]),
      { kind: 'weight', weight: 100, dwell: '0s', judged: false },
    ];
  }
  const steps = canary!.steps ?? canary!.weights!.map((weight) => ({ weight }));
  const planned = steps.map((step): PlannedStep => {
    const { weight, dwell, pause } = step as {
      weight?: number;
      dwell?: string;
      pause?: { for?: string };
    };
    return weight === undefined
      ? { kind: 'pause', ...(pause?.for ? { for: pause.for } : {}) }
      : { kind: 'weight', weight, dwell: dwell ?? canary!.dwell, judged: true };
  });
  const last = planned.findLast((step) => step.kind === 'weight');
  if (last?.kind !== 'weight' || last.weight !== 100) {
    planned.push({ kind: 'weight', weight: 100, dwell: '0s', judged: false });
  }
  return planned;
}

/** The weight in force at a step: a pause keeps the weight before it. */
export function weightAt(plan: PlannedStep[], index: number): number {
  for (let at = Math.min(index, plan.length - 1); at >= 0; at -= 1) {
    const step = plan[at]!;
    if (step.kind === 'weight') return step.weight;
  }
  return 0;
}

/**
 * Where a run stands in a plan that Git may have changed meanwhile. Such a change alone sends nobody to the canary: it goes on from
 * the last step that asks for no more than `weight`, which it had, or from the first one.
 */
export function placeIn(plan: PlannedStep[], index: number, weight: number): number {
  let place = Math.min(index, plan.length - 1);
  while (place > 0 && weightAt(plan, place) > weight) place -= 1;
  return place;
}

/** Canary pods that a weight needs: never none, all of them at 100 %. */
export function replicasFor(spec: RolloutSpec, weight: number, replicas: number): number {
  const full = spec.strategy.blueGreen !== undefined || spec.strategy.canary?.replicas === 'full';
  if (full || weight >= 100) return Math.max(1, replicas);
  return Math.max(1, Math.ceil((weight * replicas) / 100));
}

/** Of a digest; fewer digits, and above all none, would approve what nobody has looked at. */
const LEAST_DIGITS = 6;

/** spec.approve names an image tag, or as much of the template's or an image's digest as tells it from others. */
export function approves(approve: string, run: Run): boolean {
  if (approve === '') return false;
  const digits = approve.replace(/^sha256:/, '');
  const begins = (digest: string) =>
    digits.length >= LEAST_DIGITS && digest.replace(/^sha256:/, '').startsWith(digits);
  if (begins(run.digest)) return true;
  return run.images.some((image) => {
    const [name, digest] = image.split('@');
    const tag = name!.slice(name!.lastIndexOf('/') + 1).split(':')[1];
    return image === approve || tag === approve || (digest !== undefined && begins(digest));
  });
}

export const keepFor = (spec: RolloutSpec): string =>
  spec.strategy.blueGreen && spec.strategy.blueGreen.keepBlue !== '0s'
    ? spec.strategy.blueGreen.keepBlue
    : spec.watch;
