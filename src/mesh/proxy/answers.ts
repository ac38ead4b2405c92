/** One table from the cause of a failure to what the client is told. */
export const CAUSES = {
  'bad-request': 400,
  'head-timeout': 408,
  'body-timeout': 408,
  connect: 502,
  'bad-response': 502,
  reset: 502,
  'no-endpoint': 503,
  overload: 503,
  breaker: 503,
  'rate-limited': 429,
  timeout: 504,
  fault: 503,
  loop: 508,
} as const satisfies Record<string, number>;

export type Cause = keyof typeof CAUSES;

const TEXTS: Record<number, string> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  414: 'URI Too Long',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
  508: 'Loop Detected',
};

export interface Answer {
  status: number;
  /** Named in `weir-proxy-error` when the client may know. */
  cause: Cause;
  detail: string;
  close: boolean;
  /** Whether the client may see cause and detail. */
  explain: boolean;
  /** HEAD: the header alone. */
  bodiless: boolean;
}

export function answerBytes({ status, cause, detail, close, explain, bodiless }: Answer): Buffer {
  const body = explain ? `${cause}: ${detail}\n` : '';
  return Buffer.from(
    `HTTP/1.1 ${status} ${TEXTS[status] ?? 'Error'}\r\n` +
      `content-length: ${body.length}\r\n` +
      (explain ? `content-type: text/plain\r\nweir-proxy-error: ${cause}\r\n` : '') +
      (close ? 'connection: close\r\n' : '') +
      `\r\n${bodiless ? '' : body}`,
    'latin1',
  );
}
