/** A query that cannot be answered: `bad_data` is the asker's mistake (400), `execution` arose from the data (422). */
export class QueryError extends Error {
  readonly type: 'bad_data' | 'execution' | 'timeout';

  constructor(type: 'bad_data' | 'execution' | 'timeout', message: string) {
    super(message);
    this.name = 'QueryError';
    this.type = type;
  }
}

/** `1:5: parse error: …`, as Prometheus says it. */
export function parseError(query: string, position: number, message: string): QueryError {
  const before = query.slice(0, position);
  const line = before.split('\n').length;
  const column = position - (before.lastIndexOf('\n') + 1) + 1;
  return new QueryError('bad_data', `${line}:${column}: parse error: ${message}`);
}

export function unsupported(query: string, position: number, what: string): QueryError {
  return parseError(
    query,
    position,
    `unsupported ${what}: ask a full Prometheus, or write the query without it`,
  );
}
