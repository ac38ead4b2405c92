/** For `sort`, by code units: localeCompare would depend on the locale. */
export const byCodeUnits = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
