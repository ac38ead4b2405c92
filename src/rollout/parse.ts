import type { z } from 'zod';
import { type Phase, type Rollout, type RolloutSpec, rolloutSpecSchema } from '../api/rollout.ts';
import { fieldPath } from '../lib/field-path.ts';
import type { CachedService } from './cached.ts';
import type { Observation } from './machine/types.ts';
import { windowProblems } from './windows.ts';

export interface Problem {
  reason: string;
  message: string;
}

/** `spec` without `problem`: good. With it: what a run that is under way can still be judged and rolled back by. */
export interface ParsedSpec {
  spec?: RolloutSpec;
  problem?: Problem;
}

/** The spec with every default, and the first things to correct, each with its field. */
export function parseSpec(rollout: Rollout): ParsedSpec {
  const parsed = rolloutSpecSchema.safeParse(rollout.spec);
  if (!parsed.success) {
    const message = parsed.error.issues
      .slice(0, 5)
      .map((issue: z.core.$ZodIssue) => `${fieldPath(['spec', ...issue.path])}: ${issue.message}`)
      .join('; ');
    return { problem: { reason: 'InvalidSpec', message } };
  }
  const problems = windowProblems(parsed.data);
  if (problems.length > 0) {
    const message = problems.map(({ path, message: text }) => `${fieldPath(path)}: ${text}`).join('; ');
    // No step begins while there is a problem, so windows decide nothing.
    return { spec: { ...parsed.data, windows: [] }, problem: { reason: 'InvalidSpec', message } };
  }
  const { apiVersion, kind, name } = parsed.data.targetRef;
  if (apiVersion !== 'apps/v1' || kind !== 'Deployment') {
    return {
      problem: {
        reason: 'UnsupportedTarget',
        message: `spec.targetRef: ${kind} ${name} (${apiVersion}) cannot be rolled out by this version, which serves apps/v1 Deployment only: StatefulSets and DaemonSets replace pods in place, so there is nothing to hold at a gate`,
      },
    };
  }
  return { spec: parsed.data };
}

/**
 * A change that cannot be understood leaves a run with the spec that it was last understood by: the schema refuses nearly all such
 * changes at the API server, and what it does not know (a cron expression) must not leave users on a canary that nobody judges.
 */
export function specOf(parsed: ParsedSpec, before: RolloutSpec | undefined): ParsedSpec {
  if (!parsed.problem || parsed.spec || !before) return parsed;
  return { spec: before, problem: parsed.problem };
}

/** Sorts rivals: the older first; in the same second the one that already runs. */
function precedence({ metadata, status }: Rollout): string {
  return [metadata.creationTimestamp ?? '', status?.stable ? '0' : '1', metadata.name].join(' ');
}

/** Users may be on a canary: it goes on being judged, and can be rolled back, whatever else is wrong. */
export const underWay = (phase: Phase | undefined): boolean =>
  phase === 'Preparing' ||
  phase === 'Progressing' ||
  phase === 'Watching' ||
  phase === 'Promoting' ||
  phase === 'RollingBack';

/**
 * Two Rollouts for one Deployment, or for one Service: the older one has it, once a run of the other is over, so that never two of them move
 * its traffic. undefined: this one.
 */
export function rivalOf(rollout: Rollout, spec: RolloutSpec, all: Iterable<Rollout>): Problem | undefined {
  for (const other of all) {
    if (
      other.metadata.uid === rollout.metadata.uid ||
      other.metadata.namespace !== rollout.metadata.namespace
    )
      continue;
    const taken = takenBy(other, rollout, spec);
    if (!taken) continue;
    const { reason, what, field } = taken;
    const { name } = other.metadata;
    const remedy = `delete one of the two, or point ${field} elsewhere`;
    if (underWay(other.status?.phase) && !underWay(rollout.status?.phase))
      return { reason, message: `${what} is being rolled out by Rollout ${name}: ${remedy}` };
    if (precedence(other) < precedence(rollout))
      return { reason, message: `${what} belongs to the older Rollout ${name}: ${remedy}` };
  }
  return undefined;
}

/** What two Rollouts cannot share: each would pin the Service to its own pods, and take the leaves from the other. */
function takenBy(other: Rollout, rollout: Rollout, { targetRef }: RolloutSpec) {
  const { targetRef: target } = targetOf(other);
  if (target?.name === targetRef.name && (target.kind ?? 'Deployment') === targetRef.kind)
    return { reason: 'TargetTaken', what: `Deployment ${targetRef.name}`, field: 'spec.targetRef' };
  const theirs = serviceNames(other);
  const service = serviceNames(rollout).find((name) => theirs.includes(name));
  return service && { reason: 'ServiceTaken', what: `Service ${service}`, field: 'spec.service' };
}

interface Target {
  targetRef?: { kind?: string; name?: string };
  service?: { name?: string };
  strategy?: { blueGreen?: { preview?: { service?: string } } };
}

/** What a Rollout names, understood or not. */
export const targetOf = (rollout: Rollout): Target => (rollout.spec ?? {}) as Target;

/** Services that a Rollout writes: the root, its leaves, a preview. */
export function serviceNames(rollout: Rollout): string[] {
  const { service, strategy } = targetOf(rollout);
  const name = service?.name;
  const preview = strategy?.blueGreen?.preview?.service;
  return [...(name ? [name, `${name}-stable`, `${name}-canary`] : []), ...(preview ? [preview] : [])];
}

/** What the root Service must have. Only told here: the machine works with ports as they are. */
export function serviceProblem(
  spec: RolloutSpec,
  service: CachedService | undefined,
  observation: Pick<Observation, 'namespace'>,
): Problem | undefined {
  if (!service) return undefined;
  const { name, port } = spec.service;
  const ports = service.spec.ports ?? [];
  if (!ports.some((each) => each.port === port)) {
    const has = ports.map((each) => each.port).join(', ') || 'none';
    return {
      reason: 'PortNotFound',
      message: `spec.service.port: Service ${name} in namespace ${observation.namespace} has no port ${port}, only ${has}`,
    };
  }
  if (!service.spec.selector || Object.keys(service.spec.selector).length === 0) {
    return {
      reason: 'NoSelector',
      message: `spec.service.name: Service ${name} has no selector, so Weir cannot split what it selects: add one that selects the Deployment's pods`,
    };
  }
  return undefined;
}
