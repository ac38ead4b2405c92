import type { LabelSelector } from './types.ts';

/** Whether the labels satisfy a LabelSelector. An absent selector selects nothing; an empty one everything. */
export function matches(
  selector: LabelSelector | undefined,
  labels: Record<string, string> | undefined,
): boolean {
  if (!selector) return false;
  const of = labels ?? {};
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) if (of[key] !== value) return false;
  return (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
    const value = of[key];
    switch (operator) {
      case 'In':
        return value !== undefined && values.includes(value);
      case 'NotIn':
        return value === undefined || !values.includes(value);
      case 'Exists':
        return value !== undefined;
      case 'DoesNotExist':
        return value === undefined;
      default:
        return false;
    }
  });
}

/** An empty selector would adopt every object of the namespace; the controllers refuse to act on it. */
export function isEmpty(selector: LabelSelector | undefined): boolean {
  return (
    Object.keys(selector?.matchLabels ?? {}).length === 0 && (selector?.matchExpressions ?? []).length === 0
  );
}
