/** Codes every part of Weir shares; `cause` and `details` carry the rest. Kubernetes reasons map onto these. */
export type ErrorCode =
  | 'NotFound'
  | 'AlreadyExists'
  | 'Conflict'
  | 'Gone'
  | 'Forbidden'
  | 'Unauthorized'
  | 'Invalid'
  | 'BadRequest'
  | 'TooManyRequests'
  | 'Unavailable'
  | 'Timeout'
  | 'Aborted'
  | 'Internal';

const RETRYABLE: ReadonlySet<ErrorCode> = new Set([
  'Conflict',
  'TooManyRequests',
  'Unavailable',
  'Timeout',
  'Internal',
]);

export interface AppErrorOptions {
  /** Defaults by code: conflicts, throttling, unavailability and timeouts are worth another try. */
  retryable?: boolean;
  cause?: unknown;
  details?: Record<string, unknown>;
  /** Seconds the other side asked us to wait (Retry-After). */
  retryAfterSeconds?: number;
}

/** The one error class. The message says what went wrong and what to do next. */
export class AppError extends Error {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly details: Record<string, unknown>;
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'AppError';
    this.code = code;
    this.retryable = options.retryable ?? RETRYABLE.has(code);
    this.details = options.details ?? {};
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

/** Turns whatever was thrown into an AppError, keeping it as the cause. */
export function toAppError(thrown: unknown, fallback: ErrorCode = 'Internal'): AppError {
  if (thrown instanceof AppError) return thrown;
  if (thrown instanceof Error) {
    if (thrown.name === 'AbortError') return new AppError('Aborted', thrown.message, { cause: thrown });
    if (thrown.name === 'TimeoutError') return new AppError('Timeout', thrown.message, { cause: thrown });
    return new AppError(fallback, thrown.message, { cause: thrown });
  }
  if (typeof thrown === 'object' && thrown !== null) {
    // prometheus-query and other libraries reject with plain objects.
    const record = thrown as Record<string, unknown>;
    const message = typeof record.message === 'string' ? record.message : JSON.stringify(record);
    return new AppError(fallback, message, { cause: thrown });
  }
  return new AppError(fallback, String(thrown), { cause: thrown });
}

export function isCode(thrown: unknown, ...codes: ErrorCode[]): boolean {
  return thrown instanceof AppError && codes.includes(thrown.code);
}
