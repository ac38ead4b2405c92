import { LineCounter, type LineCounter as LineCounterType, parseAllDocuments } from 'yaml';
import type { z } from 'zod';
import { kinds } from '../../api/kinds.ts';
import type { ResourceKind } from '../../api/meta.ts';
import { metricTemplateSpecSchema } from '../../api/metric-template.ts';
import { GROUP } from '../../api/names.ts';
import { type RolloutSpec, rolloutSpecSchema } from '../../api/rollout.ts';
import { trafficPolicySpecSchema } from '../../api/traffic-policy.ts';
import { TRAFFIC_SPLIT_VERSIONS, trafficSplitSpecSchema } from '../../api/traffic-split.ts';
import { fieldPath } from '../../lib/field-path.ts';
import { yamlProblem } from '../../lib/yaml-problem.ts';
import { specWarnings } from '../../rollout/advice.ts';
import { windowProblems } from '../../rollout/windows.ts';
import { readGiven } from '../given.ts';

export interface LintProblem {
  file: string;
  /** 1-based line of the field, or of its nearest parent that is there. */
  line: number;
  object: string;
  field: string;
  message: string;
  /** Valid, but not what anybody would want: told, and no reason to fail. */
  warning?: true;
}

type YamlDocument = Extract<ReturnType<typeof parseAllDocuments>, unknown[]>[number];

function lineOf(document: YamlDocument, path: (string | number)[], counter: LineCounterType): number {
  for (let length = path.length; length >= 0; length -= 1) {
    const node = document.getIn(path.slice(0, length), true) as
      | { range?: [number, number, number] }
      | undefined;
    if (node?.range) return counter.linePos(node.range[0]).line;
  }
  return 1;
}

/** Every problem of every object of Weir's in a YAML text; other kinds are left alone. Pure. */
export function lintText(
  text: string,
  file: string,
): { problems: LintProblem[]; rollouts: number; others: number } {
  const counter = new LineCounter();
  const problems: LintProblem[] = [];
  let rollouts = 0;
  let others = 0;
  const documents = parseAllDocuments(text, { lineCounter: counter });
  for (const document of Array.isArray(documents) ? documents : []) {
    for (const error of document.errors) {
      problems.push({
        file,
        line: error.linePos?.[0].line ?? 1,
        object: '',
        field: '',
        message: yamlProblem(error),
      });
    }
    if (document.errors.length > 0) continue;
    const value = document.toJS() as Manifest | null;
    const [group = '', version = ''] = (value?.apiVersion ?? '').split('/');
    const known = KINDS[value?.kind ?? ''];
    if (group === GROUP && !known) {
      const message = `there is no ${value?.kind} in ${GROUP}: it has Rollout, MetricTemplate and TrafficPolicy`;
      problems.push({ file, line: lineOf(document, ['kind'], counter), object: '', field: 'kind', message });
    }
    if (value === null || known?.group !== group) continue;
    if (value.kind === 'Rollout') rollouts += 1;
    else others += 1;
    const object = value.metadata?.name ?? '(no name)';
    const tell = ({ path, ...found }: Finding) =>
      problems.push({
        file,
        line: lineOf(document, path, counter),
        object,
        field: fieldPath(path),
        ...found,
      });
    if (!value.metadata?.name)
      tell({ path: ['metadata', 'name'], message: `is missing: give the ${value.kind} a name` });
    if (!known.versions.includes(version))
      tell({
        path: ['apiVersion'],
        message: `must be ${known.versions.map((each) => `${group}/${each}`).join(' or ')}`,
      });
    for (const each of known.findings(value.spec ?? {})) tell(each);
  }
  problems.sort((a, b) => a.line - b.line);
  return { problems, rollouts, others };
}

interface Manifest {
  kind?: string;
  apiVersion?: string;
  metadata?: { name?: string };
  spec?: unknown;
}

type Finding = Pick<LintProblem, 'message' | 'warning'> & { path: (string | number)[] };

/** What the schema, which the API server has too, says of a spec. */
function schemaFindings(schema: z.ZodType): (value: unknown) => Finding[] {
  return (value) =>
    (schema.safeParse(value).error?.issues ?? []).flatMap((issue) => {
      const path = ['spec', ...issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))];
      const { message } = issue;
      if (issue.code !== 'unrecognized_keys') return [{ path, message }];
      return issue.keys.map((key) => ({ path: [...path, key], message }));
    });
}

/** … and the API server's rules and the controller of a Rollout's. */
function rolloutFindings(value: unknown): Finding[] {
  const { data: spec } = rolloutSpecSchema.safeParse(value);
  if (!spec) return schemaFindings(rolloutSpecSchema)(value);
  const { apiVersion, kind } = spec.targetRef;
  return [
    ...(apiVersion === 'apps/v1' && kind === 'Deployment'
      ? []
      : [
          {
            path: ['spec', 'targetRef', 'kind'],
            message: `${kind} (${apiVersion}) cannot be rolled out: this version serves apps/v1 Deployment only`,
          },
        ]),
    ...windowProblems(spec),
    ...[...specWarnings(spec), ...unitWarnings(spec)].map((each) => ({ ...each, warning: true as const })),
  ];
}

/** Of the built-in metrics: what a number without a unit is taken for, where it can only be meant otherwise. */
const MISTAKEN: Record<string, { most: number; told(limit: number): string }> = {
  'success-rate': {
    most: 1,
    told: (limit) => `a success rate is a share from 0 to 1: for ${limit} percent write ${limit}%`,
  },
  // As Flagger and Linkerd count.
  latency: { most: 60, told: (limit) => `a number is seconds: for ${limit} milliseconds write ${limit}ms` },
};

function unitWarnings({ analysis }: RolloutSpec): Finding[] {
  return analysis.metrics.flatMap(({ name, threshold, prometheus, templateRef }, at) =>
    (['min', 'max'] as const).flatMap((side) => {
      const limit = threshold?.[side];
      const mistaken = prometheus || templateRef ? undefined : MISTAKEN[name];
      if (!mistaken || typeof limit !== 'number' || limit <= mistaken.most) return [];
      return [
        { path: ['spec', 'analysis', 'metrics', at, 'threshold', side], message: mistaken.told(limit) },
      ];
    }),
  );
}

const KINDS: Record<string, { group: string; versions: string[]; findings: (spec: unknown) => Finding[] }> = {
  Rollout: of(kinds.Rollout, rolloutFindings),
  MetricTemplate: of(kinds.MetricTemplate, schemaFindings(metricTemplateSpecSchema)),
  TrafficPolicy: of(kinds.TrafficPolicy, schemaFindings(trafficPolicySpecSchema)),
  TrafficSplit: {
    ...of(kinds.TrafficSplit, schemaFindings(trafficSplitSpecSchema)),
    versions: TRAFFIC_SPLIT_VERSIONS,
  },
};

function of({ group, version }: ResourceKind, findings: (spec: unknown) => Finding[]) {
  return { group, versions: [version], findings };
}

/** Reads files (`-` is standard input), prints problems and warnings; the number of problems decides the exit code. */
export function lintFiles(files: string[], write: (text: string) => void): number {
  let problems = 0;
  let warnings = 0;
  let rollouts = 0;
  let others = 0;
  for (const file of files) {
    const result = lintText(readGiven(file === '-' ? 0 : file), file);
    rollouts += result.rollouts;
    others += result.others;
    for (const { line, object, field, message, warning } of result.problems) {
      if (warning) warnings += 1;
      else problems += 1;
      const what = [object, field].filter(Boolean).join(' ');
      write(
        [`${file}:${line}`, ...(warning ? ['warning'] : []), ...(what ? [what] : []), message].join(': '),
      );
      write('\n');
    }
  }
  const seen = [count(rollouts, 'Rollout'), ...(others > 0 ? [count(others, 'other object')] : [])].join(
    ', ',
  );
  const nothing = rollouts + others === 0;
  const looked = nothing ? `nothing of Weir in ${files.join(', ')}` : `${seen}, no problems`;
  const found = problems === 0 ? looked : count(problems, 'problem');
  write(`${found}${warnings === 0 ? '' : `, ${count(warnings, 'warning')}`}\n`);
  return problems;
}

const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? '' : 's'}`;
