import { AppError, type ErrorCode } from '../lib/errors.ts';

interface Status {
  reason?: string;
  message?: string;
  code?: number;
  details?: { retryAfterSeconds?: number; causes?: unknown[]; [field: string]: unknown };
}

const BY_CODE: Record<number, ErrorCode> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  410: 'Gone',
  413: 'Invalid',
  415: 'BadRequest',
  422: 'Invalid',
  429: 'TooManyRequests',
  504: 'Timeout',
};

/** The error of a response that is not 2xx: the server's own message, and its Status in `details`. */
export function errorFromStatus(code: number, body: string, request: string, retryAfter?: string): AppError {
  let status: Status = {};
  try {
    status = JSON.parse(body) as Status;
  } catch {
    status = { message: body.slice(0, 500) || `HTTP ${code}` };
  }
  const kind: ErrorCode =
    status.reason === 'AlreadyExists'
      ? 'AlreadyExists'
      : (BY_CODE[code] ?? (code >= 500 ? 'Unavailable' : 'BadRequest'));
  const seconds = Number(retryAfter ?? status.details?.retryAfterSeconds);
  return new AppError(kind, status.message ?? `${request}: HTTP ${code}`, {
    details: { status: code, reason: status.reason, request, ...status.details },
    ...(Number.isFinite(seconds) ? { retryAfterSeconds: seconds } : {}),
  });
}
