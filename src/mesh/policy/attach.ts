/**
 * Which settings of which TrafficPolicies rule one port of a Service (ADR 0049). Pure.
 *
 * Each setting (timeouts, retries, …) comes whole from one policy: from one that names the port before one that names the
 * whole Service, from the older before the younger, then by name.
 */
import {
  POLICY_SETTINGS,
  type PolicySetting,
  type PolicyTargetRef,
  type TrafficPolicySpec,
} from '../../api/traffic-policy.ts';
import { byCodeUnits } from '../../lib/order.ts';
import type { Policy } from '../discovery/model.ts';

/** A TrafficPolicy that can be understood. */
export interface PolicySource {
  /** `namespace/name`. */
  key: string;
  name: string;
  namespace: string;
  /** creationTimestamp, RFC 3339 in UTC. */
  created: string;
  spec: TrafficPolicySpec;
}

export interface TargetPort {
  name?: string;
  port: number;
}

/** What became of one setting of one policy at one port. */
export type Outcome =
  | { kind: 'rules' }
  /** Another policy for the same target has it, and is older. */
  | { kind: 'conflicted'; by: PolicySource }
  /** Another policy has it that names this port, where this one names the Service. */
  | { kind: 'overridden'; by: PolicySource };

interface Candidate {
  source: PolicySource;
  /** It names the port. */
  specific: boolean;
}

export const matchesPort = (
  { sectionName, port }: Pick<PolicyTargetRef, 'sectionName' | 'port'>,
  of: TargetPort,
): boolean =>
  (sectionName === undefined || sectionName === of.name) && (port === undefined || port === of.port);

const isSpecific = ({ sectionName, port }: PolicyTargetRef): boolean =>
  sectionName !== undefined || port !== undefined;

/** Those that target the port, the one that goes first first. */
function candidates(policies: readonly PolicySource[], service: string, port: TargetPort): Candidate[] {
  const found: Candidate[] = [];
  for (const source of policies) {
    const refs = source.spec.targetRefs.filter((ref) => ref.name === service && matchesPort(ref, port));
    if (refs.length > 0) found.push({ source, specific: refs.some(isSpecific) });
  }
  return found.sort(
    (a, b) =>
      Number(b.specific) - Number(a.specific) ||
      byCodeUnits(a.source.created, b.source.created) ||
      byCodeUnits(a.source.key, b.source.key),
  );
}

/** The policy of a destination: what its proxies are sent. `policies` are of the Service's namespace, in any order. */
export function effectivePolicy(
  policies: readonly PolicySource[],
  service: string,
  port: TargetPort,
): Policy {
  if (policies.length === 0) return {};
  const chosen: Partial<TrafficPolicySpec> = {};
  for (const { source } of candidates(policies, service, port).reverse())
    for (const setting of POLICY_SETTINGS)
      if (source.spec[setting] !== undefined) Object.assign(chosen, { [setting]: source.spec[setting] });
  return asPolicy(chosen);
}

/** As proxies have it: without what is not given, and the timeouts by themselves. */
function asPolicy({ timeouts, ...settings }: Partial<TrafficPolicySpec>): Policy {
  const policy: Record<string, unknown> = {};
  if (timeouts?.request !== undefined) policy.timeout = timeouts.request;
  if (timeouts?.backendRequest !== undefined) policy.attemptTimeout = timeouts.backendRequest;
  for (const setting of POLICY_SETTINGS)
    if (setting !== 'timeouts' && settings[setting] !== undefined) policy[setting] = settings[setting];
  return policy;
}

/** What became of every setting of `of` at this port; empty when it does not target it. */
export function outcomes(
  policies: readonly PolicySource[],
  service: string,
  port: TargetPort,
  of: PolicySource,
): Map<PolicySetting, Outcome> {
  const all = candidates(policies, service, port);
  const own = all.find(({ source }) => source.key === of.key);
  const result = new Map<PolicySetting, Outcome>();
  if (!own) return result;
  for (const setting of POLICY_SETTINGS) {
    if (of.spec[setting] === undefined) continue;
    const first = all.find(({ source }) => source.spec[setting] !== undefined)!;
    if (first === own) result.set(setting, { kind: 'rules' });
    else
      result.set(setting, {
        kind: first.specific === own.specific ? 'conflicted' : 'overridden',
        by: first.source,
      });
  }
  return result;
}
