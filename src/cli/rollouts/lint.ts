import { readFileSync } from 'node:fs';
import { LineCounter, type LineCounter as LineCounterType, parseAllDocuments } from 'yaml';
import { rolloutSpecSchema } from '../../api/rollout.ts';
import { specWarnings } from '../../rollout/advice.ts';
import { windowProblems } from '../../rollout/windows.ts';

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

/** Every problem of every Rollout in a YAML text; other kinds are left alone. Pure. */
export function lintText(text: string, file: string): { problems: LintProblem[]; rollouts: number } {
  const counter = new LineCounter();
  const problems: LintProblem[] = [];
  let rollouts = 0;
  const documents = parseAllDocuments(text, { lineCounter: counter });
  for (const document of Array.isArray(documents) ? documents : []) {
    for (const error of document.errors) {
      problems.push({
        file,
        line: error.linePos?.[0].line ?? 1,
        object: '',
        field: '',
        message: error.message.split('\n')[0]!,
      });
    }
    if (document.errors.length > 0) continue;
    const value = document.toJS() as {
      kind?: string;
      apiVersion?: string;
      metadata?: { name?: string };
      spec?: unknown;
    } | null;
    if (value?.kind !== 'Rollout' || !value.apiVersion?.startsWith('weir.dev/')) continue;
    rollouts += 1;
    const object = value.metadata?.name ?? '(no name)';
    if (!value.metadata?.name) {
      problems.push({
        file,
        line: lineOf(document, ['metadata'], counter),
        object,
        field: 'metadata.name',
        message: 'is missing: give the Rollout a name',
      });
    }
    for (const { path, ...found } of specFindings(value.spec ?? {})) {
      problems.push({ file, line: lineOf(document, path, counter), object, field: path.join('.'), ...found });
    }
  }
  return { problems, rollouts };
}

type Finding = Pick<LintProblem, 'message' | 'warning'> & { path: (string | number)[] };

/** What the schema, the API server's rules and the controller would say of a spec. */
function specFindings(value: unknown): Finding[] {
  const { data: spec, error } = rolloutSpecSchema.safeParse(value);
  if (error)
    return error.issues.map(({ path, message }) => ({
      path: ['spec', ...path.map((part) => (typeof part === 'symbol' ? String(part) : part))],
      message,
    }));
  return [
    ...windowProblems(spec),
    ...specWarnings(spec).map((each) => ({ ...each, warning: true as const })),
  ];
}

/** Reads files (`-` is standard input), prints problems and warnings; the number of problems decides the exit code. */
export function lintFiles(files: string[], write: (text: string) => void): number {
  let problems = 0;
  let warnings = 0;
  let rollouts = 0;
  for (const file of files) {
    const result = lintText(readFileSync(file === '-' ? 0 : file, 'utf8'), file);
    rollouts += result.rollouts;
    for (const { line, object, field, message, warning } of result.problems) {
      if (warning) warnings += 1;
      else problems += 1;
      const what = [object, field].filter(Boolean).join(' ');
      write(`${file}:${line}: ${warning ? 'warning: ' : ''}${what}: ${message}\n`);
    }
  }
  const found = problems === 0 ? `${count(rollouts, 'Rollout')}, no problems` : count(problems, 'problem');
  write(`${found}${warnings === 0 ? '' : `, ${count(warnings, 'warning')}`}\n`);
  return problems;
}

const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? '' : 's'}`;
