import { spiffeId } from '../../api/names.ts';
import { AppError } from '../../lib/errors.ts';
import type { Authority } from './authority.ts';
import type { TokenVerifier } from './token.ts';

export interface CertificateResponse {
  certificate: string;
  trust: string;
  notAfter: string;
}

/** SNI of a workload's mesh port, and the DNS name in its certificate. */
export const workloadDnsName = (namespace: string, serviceAccount: string, trustDomain: string): string =>
  `${serviceAccount}.${namespace}.${trustDomain}`;

/** POST /v1/certificates: the identity comes from the token, never from the request. */
export async function issueCertificate(
  body: unknown,
  authority: Authority,
  verify: TokenVerifier,
  signal?: AbortSignal,
): Promise<CertificateResponse> {
  const { csr, token } = (body ?? {}) as { csr?: unknown; token?: unknown };
  if (typeof csr !== 'string' || typeof token !== 'string' || token === '')
    throw new AppError('BadRequest', 'Send {"csr": PEM, "token": ServiceAccount token}');
  const { namespace, serviceAccount } = await verify(token, signal);
  const { certificate, notAfter } = await authority.signRequest(csr, {
    spiffe: spiffeId(namespace, serviceAccount, authority.trustDomain),
    dns: workloadDnsName(namespace, serviceAccount, authority.trustDomain),
  });
  return { certificate, trust: authority.bundle, notAfter: notAfter.toISOString() };
}
