import { IDENTITY_AUDIENCE } from '../../api/names.ts';
import type { KubeClient } from '../../kube/types.ts';
import { AppError } from '../../lib/errors.ts';

export interface Workload {
  namespace: string;
  serviceAccount: string;
  /** The pod that the token is bound to, when the API server says so. */
  pod?: string;
}

interface TokenReview {
  status?: {
    authenticated?: boolean;
    error?: string;
    audiences?: string[];
    user?: { username?: string; extra?: Record<string, string[]> };
  };
}

export type TokenVerifier = (token: string, signal?: AbortSignal) => Promise<Workload>;

/** Asks the API server whose token this is. Only ServiceAccount tokens made for this audience pass. */
export function tokenReviewer(client: KubeClient, audience = IDENTITY_AUDIENCE): TokenVerifier {
  return async (token, signal) => {
    const review = (await client.request('POST', '/apis/authentication.k8s.io/v1/tokenreviews', {
      body: {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenReview',
        spec: { token, audiences: [audience] },
      },
      ...(signal ? { signal } : {}),
    })) as TokenReview;
    const status = review.status ?? {};
    if (!status.authenticated)
      throw new AppError(
        'Unauthorized',
        `The ServiceAccount token was not accepted: ${status.error || 'not authenticated'}. It must be a projected token with audience ${audience}`,
      );
    // An authenticator that knows nothing of audiences answers without them: such a token was made for somebody else.
    if (!status.audiences?.includes(audience))
      throw new AppError('Unauthorized', `The token was not made for audience ${audience}`);
    const match = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(status.user?.username ?? '');
    if (!match)
      throw new AppError('Forbidden', 'Only ServiceAccounts have an identity in the mesh, users do not');
    const pod = status.user?.extra?.['authentication.kubernetes.io/pod-name']?.[0];
    return { namespace: match[1]!, serviceAccount: match[2]!, ...(pod ? { pod } : {}) };
  };
}
