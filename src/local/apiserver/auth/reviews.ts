import { badRequest } from '../errors.ts';
import type { ResourceRequest, User } from '../http/request.ts';
import { at, isObject, type JsonObject } from '../json.ts';
import { type Authenticator, ISSUER, reviewAudiences } from './authenticator.ts';
import type { Attributes, Rbac } from './rbac.ts';

/** Answers the kinds that are questions: TokenReview and the access reviews. */
export function review(
  request: ResourceRequest,
  body: unknown,
  authenticator: Authenticator,
  rbac: Rbac,
): object {
  if (!isObject(body) || !isObject(body.spec)) throw badRequest('a review needs a spec');
  const { kind } = request.served;
  const answer = (status: object): object => ({
    metadata: {},
    ...body,
    apiVersion: body.apiVersion,
    kind,
    status,
  });
  if (kind === 'TokenReview') {
    const found = authenticator.authenticate(
      String(body.spec.token ?? ''),
      reviewAudiences(body) ?? [ISSUER],
    );
    return answer(
      found
        ? { authenticated: true, user: found.user, audiences: found.audiences }
        : {
            authenticated: false,
            user: {},
            error: 'token is not valid, has expired, or is for another audience',
          },
    );
  }
  const user: User =
    kind === 'SelfSubjectAccessReview'
      ? request.user
      : { username: String(body.spec.user ?? ''), groups: (body.spec.groups ?? []) as string[] };
  const path = at(body.spec, 'nonResourceAttributes') as JsonObject | undefined;
  const allowed = path
    ? rbac.allowsPath(user, String(path.verb ?? ''), String(path.path ?? ''))
    : rbac.allows(user, attributesOf((body.spec.resourceAttributes ?? {}) as Record<string, string>));
  return answer({
    allowed,
    ...(allowed ? {} : { reason: 'no Role or ClusterRole bound to this user allows it' }),
  });
}

const attributesOf = ({
  verb = '',
  group = '',
  resource = '',
  subresource = '',
  namespace = '',
  name = '',
}: Record<string, string>): Attributes => ({
  verb,
  group,
  resource,
  subresource,
  namespace,
  name,
});
