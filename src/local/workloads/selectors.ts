import type { LabelSelector } from '../../api/label-selector.ts';

/** An empty selector would adopt every object of the namespace; the controllers refuse to act on it. */
export function isEmpty(selector: LabelSelector | undefined): boolean {
  return (
    Object.keys(selector?.matchLabels ?? {}).length === 0 && (selector?.matchExpressions ?? []).length === 0
  );
}
