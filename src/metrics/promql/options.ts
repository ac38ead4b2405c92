import type { Shift } from './ast.ts';

export interface EngineOptions {
  /** How old the last sample of a series may be, ms. */
  lookback: number;
  /** Step of a subquery that names none, ms. */
  defaultStep: number;
  /** Samples one query may look at, before it is refused. */
  maxSamples: number;
  /** Called now and then; throws to stop a query that runs too long. */
  checkpoint?: () => void;
}

export const DEFAULT_ENGINE: EngineOptions = {
  lookback: 300_000,
  defaultStep: 60_000,
  maxSamples: 50_000_000,
};

/** The time a shifted expression looks from, seen from an evaluation time. */
export function shifted({ at, offset }: Shift, time: number, range: { start: number; end: number }): number {
  const base = at === 'start' ? range.start : at === 'end' ? range.end : (at ?? time);
  return base - offset;
}
