/** A field as people write it, from a path of keys and indices: `spec.metrics[0].name`; '' for no path. */
export const fieldPath = (path: readonly PropertyKey[]): string =>
  path
    .map((part, index) => (typeof part === 'number' ? `[${part}]` : `${index > 0 ? '.' : ''}${String(part)}`))
    .join('');
