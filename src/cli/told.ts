import type { AppError } from '../lib/errors.ts';

/** What is wrong with the way to the cluster, and what to do about it; undefined where the error is about something else. */
export function noWayTo({ code, message, cause }: AppError): { what: string; remedy: string } | undefined {
  if (code === 'Unauthorized')
    return {
      what: 'the API server does not know these credentials (401)',
      remedy: 'log in again, or check the user of the current context of --kubeconfig or $KUBECONFIG',
    };
  const { code: reason = '' } = (cause ?? {}) as { code?: string };
  const call = /^(GET|POST|PUT|PATCH|DELETE|WATCH) ([^/ ]+)/.exec(message);
  if (code !== 'Unavailable' || !call) return undefined;
  if (NO_CONNECTION.has(reason))
    return {
      what: `no answer from the API server ${call[2]} (${reason})`,
      remedy: 'is the cluster up, and does --kubeconfig or $KUBECONFIG name the right one?',
    };
  if (NO_TRUST.test(reason))
    return {
      what: `the certificate of the API server ${call[2]} cannot be trusted (${reason})`,
      remedy: 'check certificate-authority and server of the cluster in --kubeconfig or $KUBECONFIG',
    };
  return undefined;
}

/** The message of an error, for a person who has nothing else to look at. */
export function told(error: AppError): string {
  const way = noWayTo(error);
  return way ? `${way.what}: ${way.remedy}` : error.message;
}

const NO_CONNECTION = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
]);

/** Node's names of what OpenSSL found wrong with a chain, and its own for a name that does not match. */
const NO_TRUST = /_CERT|CERT_|^ERR_TLS_CERT|LEAF_SIGNATURE|^INVALID_CA$|^HOSTNAME_MISMATCH$/;
