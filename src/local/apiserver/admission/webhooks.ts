import { randomUUID } from 'node:crypto';
import type { KubeObject } from '../../../api/meta.ts';
import type { Logger } from '../../../lib/log.ts';
import { StatusError } from '../errors.ts';
import type { User } from '../http/request.ts';
import { asJson, asObject, clone } from '../json.ts';
import { applyJsonPatch, type Operation } from '../patch/json-patch.ts';
import type { Store } from '../storage/store.ts';
import { callWebhook } from './call.ts';
import { type Attributes, type Webhook, wants } from './match.ts';

interface Review {
  response?: {
    uid?: string;
    allowed?: boolean;
    patchType?: string;
    patch?: string;
    warnings?: string[];
    status?: { message?: string; code?: number; reason?: string };
  };
}

/** Calls the webhooks of the stored configurations: mutating ones in turn, validating ones at once. */
export class Webhooks {
  readonly #store: Store;
  readonly #log: Logger;

  constructor(store: Store, log: Logger) {
    this.#store = store;
    this.#log = log;
  }

  /** Runs the mutating webhooks; the result is the object that they leave. */
  async mutate(attributes: Attributes, user: User, warnings: string[]): Promise<KubeObject | undefined> {
    let { object } = attributes;
    for (const hook of this.#hooks('mutatingwebhookconfigurations', attributes)) {
      const review = await this.#review(hook, { ...attributes, object }, user, warnings);
      if (!review?.response?.patch || !object) continue;
      const operations = JSON.parse(Buffer.from(review.response.patch, 'base64').toString()) as Operation[];
      try {
        object = asObject(applyJsonPatch(asJson(object), operations) as never);
      } catch (error) {
        throw failure(hook, `the patch cannot be applied: ${(error as Error).message}`);
      }
    }
    return object;
  }

  async validate(attributes: Attributes, user: User, warnings: string[]): Promise<void> {
    const hooks = this.#hooks('validatingwebhookconfigurations', attributes);
    await Promise.all(hooks.map((hook) => this.#review(hook, attributes, user, warnings)));
  }

  #hooks(plural: string, attributes: Attributes): Webhook[] {
    // Webhooks never see their own configurations: a broken one could not be removed.
    if (attributes.served.group === 'admissionregistration.k8s.io') return [];
    const configurations = this.#store.list(`admissionregistration.k8s.io/${plural}`);
    if (configurations.length === 0) return [];
    const namespace = attributes.served.namespaced
      ? this.#store.get('/namespaces', '', attributes.namespace)
      : undefined;
    const labels = attributes.served.namespaced ? (namespace?.object.metadata.labels ?? {}) : undefined;
    return configurations
      .flatMap(({ object }) => (object.webhooks ?? []) as Webhook[])
      .filter((hook) => wants(hook, attributes, labels));
  }

  async #review(
    hook: Webhook,
    attributes: Attributes,
    user: User,
    warnings: string[],
  ): Promise<Review | undefined> {
    const { served, subresource, operation, name, namespace, object, oldObject, dryRun } = attributes;
    if (dryRun && hook.sideEffects !== 'None' && hook.sideEffects !== 'NoneOnDryRun')
      throw new StatusError(400, 'BadRequest', `admission webhook "${hook.name}" does not support dry run`);
    const uid = randomUUID();
    const { group, version, kind, plural } = served;
    const body = {
      kind: 'AdmissionReview',
      apiVersion: 'admission.k8s.io/v1',
      request: {
        uid,
        kind: { group, version, kind },
        resource: { group, version, resource: plural },
        ...(subresource ? { subResource: subresource, requestSubResource: subresource } : {}),
        requestKind: { group, version, kind },
        requestResource: { group, version, resource: plural },
        name,
        ...(namespace ? { namespace } : {}),
        operation,
        userInfo: user,
        object: object ? clone(object) : null,
        oldObject: oldObject ?? null,
        dryRun,
        options: {
          kind: `${operation === 'CREATE' ? 'Create' : operation === 'UPDATE' ? 'Update' : 'Delete'}Options`,
          apiVersion: 'meta.k8s.io/v1',
        },
      },
    };
    let review: Review;
    try {
      review = (await callWebhook(hook, body, this.#store)) as Review;
      if (review.response?.uid !== uid)
        throw new Error('the response is for another request: expected its uid');
    } catch (error) {
      this.#log.warn({ webhook: hook.name, error }, 'webhook failed');
      if (hook.failurePolicy === 'Ignore') return undefined;
      throw failure(hook, (error as Error).message);
    }
    const { response } = review;
    warnings.push(...(response?.warnings ?? []));
    if (response?.allowed) return review;
    const { message, code, reason } = response?.status ?? {};
    const why = message
      ? `denied the request: ${message}`
      : reason
        ? `denied the request: ${reason}`
        : 'denied the request without explanation';
    throw new StatusError(
      code && code >= 400 && code < 600 ? code : 403,
      reason ?? REASONS[code ?? 403] ?? 'Forbidden',
      `admission webhook "${hook.name}" ${why}`,
    );
  }
}

const REASONS: Record<number, string> = {
  400: 'BadRequest',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  422: 'Invalid',
  429: 'TooManyRequests',
  503: 'ServiceUnavailable',
};

const failure = (hook: Webhook, why: string): StatusError =>
  new StatusError(
    500,
    'InternalError',
    `Internal error occurred: failed calling webhook "${hook.name}": failed to call webhook: ${why}`,
    {
      causes: [{ message: `failed calling webhook "${hook.name}": failed to call webhook: ${why}` }],
    },
  );
