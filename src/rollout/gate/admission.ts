import type { AdmissionDecision, AdmissionRequest } from '../../controller/admission.ts';
import { canonicalJson } from '../../lib/canonical.ts';
import type { Deployment, Service } from '../objects.ts';

/** Data of the namespace's weir-gate, or of weir-pins where it is about Services; undefined when there is none. */
export type GateData = Record<string, string> | undefined;

const ALLOW: AdmissionDecision = { allowed: true };
const HASH = 'pod-template-hash';

const deploymentsUpdate = ({ resource, operation, subResource }: AdmissionRequest): boolean =>
  resource.group === 'apps' && resource.resource === 'deployments' && operation === 'UPDATE' && !subResource;

const templateChanged = (object: Deployment, old: Deployment): boolean =>
  canonicalJson(object.spec.template) !== canonicalJson(old.spec.template);

/**
 * The gate: a guarded Deployment whose template changes is paused in the same request, and stays paused against
 * everyone but Weir. The same rules as the MutatingAdmissionPolicy gate.weir.dev.
 */
export function decideDeployment(
  request: AdmissionRequest,
  gate: GateData,
  weirUser: string,
): AdmissionDecision {
  if (!deploymentsUpdate(request)) return ALLOW;
  const object = request.object as Deployment;
  const old = request.oldObject as Deployment;
  if (gate?.[`deployment.${object.metadata.name}`] === undefined) return ALLOW;
  if (object.spec.paused === true) return ALLOW;
  const held = old.spec.paused === true && request.userInfo.username !== weirUser;
  if (!templateChanged(object, old) && !held) return ALLOW;
  return { allowed: true, patch: [{ op: 'add', path: '/spec/paused', value: true }] };
}

/** The backstop: whatever ran after the gate, a changed template that is not paused is refused. */
export function decideBackstop(request: AdmissionRequest, gate: GateData): AdmissionDecision {
  if (!deploymentsUpdate(request)) return ALLOW;
  const object = request.object as Deployment;
  const old = request.oldObject as Deployment;
  const rollout = gate?.[`deployment.${object.metadata.name}`];
  if (rollout === undefined || object.spec.paused === true || !templateChanged(object, old)) return ALLOW;
  return {
    allowed: false,
    code: 403,
    message: `Rollout ${rollout} guards this Deployment, but an admission plug-in changed its template after the gate`,
  };
}

/** The pin: while a rollout runs, a write by others that leaves the other selector keys alone keeps the hash. */
export function decideService(
  request: AdmissionRequest,
  gate: GateData,
  weirUser: string,
): AdmissionDecision {
  const { resource, operation, subResource, userInfo } = request;
  if (resource.group !== '' || resource.resource !== 'services' || subResource) return ALLOW;
  if (operation !== 'CREATE' && operation !== 'UPDATE') return ALLOW;
  if (userInfo.username === weirUser) return ALLOW;
  const { metadata, spec } = request.object as Service;
  const pin = gate?.[`pin.${metadata.name ?? request.name}`];
  const selector = spec.selector;
  if (pin === undefined || selector === undefined) return ALLOW;
  const [hash, ...expected] = pin.split('|');
  const others = Object.entries(selector)
    .filter(([key]) => key !== HASH)
    .map(([key, value]) => `${key}=${value}`);
  const same = others.length === expected.length && others.every((pair) => expected.includes(pair));
  if (!same || selector[HASH] === hash) return ALLOW;
  return { allowed: true, patch: [{ op: 'add', path: `/spec/selector/${HASH}`, value: hash }] };
}
