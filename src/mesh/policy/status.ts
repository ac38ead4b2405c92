/** What a TrafficPolicy's status says: which of its settings are in effect at which target, and why not the others. Pure. */
import type { Condition } from '../../api/meta.ts';
import {
  POLICY_SETTINGS,
  type PolicyAncestorStatus,
  type PolicySetting,
  type PolicyTargetRef,
  type TrafficPolicy,
  type TrafficPolicyStatus,
  targetText,
} from '../../api/traffic-policy.ts';
import { sameJson } from '../../lib/same-json.ts';
import { matchesPort, type Outcome, outcomes, type PolicySource, type TargetPort } from './attach.ts';
import type { ReadPolicy } from './read.ts';

export const CONTROLLER_NAME = 'weir.dev/mesh';

/** What the status depends on, beside the policy itself. */
export interface PolicySurroundings {
  /** Ports of a Service (`namespace/name`); undefined: there is none. */
  portsOf(service: string): readonly TargetPort[] | undefined;
  /** Every policy that targets it, in any order. */
  policiesOf(service: string): readonly PolicySource[];
}

/** A condition before it is known since when. */
type Finding = Pick<Condition, 'type' | 'status' | 'reason' | 'message'>;

export function policyStatus(
  object: TrafficPolicy,
  read: ReadPolicy,
  surroundings: PolicySurroundings,
  now: number,
): TrafficPolicyStatus {
  const { generation } = object.metadata;
  const before = object.status;
  const dated = (findings: Finding[], old: readonly Condition[] = []) =>
    findings.map((finding) => date(finding, old, generation, now));
  const base = generation === undefined ? {} : { observedGeneration: generation };
  if ('problem' in read) {
    const finding: Finding = {
      type: 'Accepted',
      status: 'False',
      reason: 'Invalid',
      message: `nothing of it is in effect: ${read.problem}`,
    };
    return { ...base, conditions: dated([finding], before?.conditions), ancestors: [] };
  }
  const { source } = read;
  const targets = source.spec.targetRefs.map((ref) => ({ ref, findings: judge(source, ref, surroundings) }));
  return {
    ...base,
    conditions: dated(together(targets), before?.conditions),
    ancestors: targets.map(({ ref, findings }): PolicyAncestorStatus => {
      const ancestorRef = refOf(ref);
      const old = before?.ancestors?.find((each) => sameJson(each.ancestorRef, ancestorRef));
      return { ancestorRef, controllerName: CONTROLLER_NAME, conditions: dated(findings, old?.conditions) };
    }),
  };
}

const refOf = ({ group, kind, name, sectionName, port }: PolicyTargetRef) => ({
  group,
  kind,
  name,
  ...(sectionName === undefined ? {} : { sectionName }),
  ...(port === undefined ? {} : { port }),
});

function judge(source: PolicySource, ref: PolicyTargetRef, surroundings: PolicySurroundings): Finding[] {
  const key = `${source.namespace}/${ref.name}`;
  const ports = surroundings.portsOf(key);
  if (!ports) return [refused('TargetNotFound', `Service ${key} does not exist: check targetRefs`)];
  const meant = ports.filter((port) => matchesPort(ref, port));
  if (ports.length === 0) return [refused('TargetNotFound', `Service ${key} has no ports`)];
  if (meant.length === 0) {
    const has = ports.map(portText).join(', ');
    return [
      refused('TargetNotFound', `Service ${key} has no port ${ref.sectionName ?? ref.port}: it has ${has}`),
    ];
  }
  const policies = surroundings.policiesOf(key);
  const lost = { conflicted: new Losses(), overridden: new Losses() };
  let rules = 0;
  for (const port of meant) {
    for (const [setting, outcome] of outcomes(policies, ref.name, port, source)) {
      if (outcome.kind === 'rules') rules += 1;
      else lost[outcome.kind].add(setting, outcome, port);
    }
  }
  const conflicts = lost.conflicted.text(meant.length);
  const overrides = lost.overridden.text(meant.length);
  const none = rules === 0 && conflicts !== '';
  const findings: Finding[] = [
    none
      ? refused('Conflicted', `older policies rule Service ${key}: ${conflicts}`)
      : {
          type: 'Accepted',
          status: 'True',
          reason: 'Accepted',
          message: `${rules > 0 ? 'rules' : 'rules nothing at'} Service ${targetText(ref)}`,
        },
  ];
  if (conflicts !== '')
    findings.push({
      type: 'Conflicted',
      status: 'True',
      reason: 'OlderPolicyRules',
      message: `for Service ${targetText(ref)} older policies have ${conflicts}: delete it here or there`,
    });
  if (overrides !== '')
    findings.push({
      type: 'Overridden',
      status: 'True',
      reason: 'PortPolicyRules',
      message: `for Service ${targetText(ref)} policies that name the port have ${overrides}`,
    });
  return findings;
}

const refused = (reason: string, message: string): Finding => ({
  type: 'Accepted',
  status: 'False',
  reason,
  message,
});

const portText = ({ name, port }: TargetPort): string => (name ? `${name} (${port})` : String(port));

/** Settings that others have, by winner and by port. */
class Losses {
  readonly #found = new Map<PolicySetting, Map<string, TargetPort[]>>();

  add(setting: PolicySetting, outcome: Exclude<Outcome, { kind: 'rules' }>, port: TargetPort): void {
    const winners = this.#found.get(setting) ?? new Map<string, TargetPort[]>();
    this.#found.set(setting, winners.set(outcome.by.name, [...(winners.get(outcome.by.name) ?? []), port]));
  }

  /** `retries (TrafficPolicy base), fault (TrafficPolicy chaos, port 80)`; ports only where not all are lost alike. */
  text(ports: number): string {
    return POLICY_SETTINGS.flatMap((setting) =>
      [...(this.#found.get(setting) ?? [])].map(([winner, at]) => {
        const where = at.length < ports ? `, port ${at.map(({ port }) => port).join(', ')}` : '';
        return `${setting} (TrafficPolicy ${winner}${where})`;
      }),
    ).join(', ');
  }
}

/** The findings of all targets in one of each type: accepted is what is accepted everywhere. */
function together(targets: { findings: Finding[] }[]): Finding[] {
  const all = targets.flatMap(({ findings }) => findings);
  const accepted = all.filter(({ type }) => type === 'Accepted');
  const refusals = accepted.filter(({ status }) => status === 'False');
  const join = (findings: Finding[]) => findings.map(({ message }) => message).join('; ');
  const result: Finding[] = [
    { ...(refusals[0] ?? accepted[0]!), message: join(refusals.length > 0 ? refusals : accepted) },
  ];
  for (const type of ['Conflicted', 'Overridden']) {
    const found = all.filter((each) => each.type === type);
    if (found.length > 0) result.push({ ...found[0]!, message: join(found) });
  }
  return result;
}

function date(
  finding: Finding,
  old: readonly Condition[],
  generation: number | undefined,
  now: number,
): Condition {
  const same = old.find(({ type, status }) => type === finding.type && status === finding.status);
  return {
    ...finding,
    lastTransitionTime: same?.lastTransitionTime ?? new Date(now).toISOString().replace(/\.\d+Z$/, 'Z'),
    ...(generation === undefined ? {} : { observedGeneration: generation }),
  };
}
