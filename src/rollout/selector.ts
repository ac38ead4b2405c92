/** A Service's selector: a plain map; none selects nothing. */
export const serviceSelects = (
  selector: Record<string, string> | undefined,
  labels: Record<string, string> = {},
): boolean =>
  selector !== undefined &&
  Object.keys(selector).length > 0 &&
  Object.entries(selector).every(([key, value]) => labels[key] === value);
