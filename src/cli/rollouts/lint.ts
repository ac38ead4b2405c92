import { readFileSync } from 'node:fs';
import { LineCounter, type LineCounter as LineCounterType, parseAllDocuments } from 'yaml';
import { rolloutSpecSchema } from '../../api/rollout.ts';

export interface LintProblem {
  file: string;
  /** 1-based line of the field, or of its nearest parent that is there. */
  line: number;
  object: string;
  field: string;
  message: string;
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
    const parsed = rolloutSpecSchema.safeParse(value.spec ?? {});
    for (const issue of parsed.error?.issues ?? []) {
      const path = ['spec', ...issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))];
      problems.push({
        file,
        line: lineOf(document, path, counter),
        object,
        field: path.join('.'),
        message: issue.message,
      });
    }
  }
  return { problems, rollouts };
}

/** Reads files (`-` is standard input), prints problems; the number of problems decides the exit code. */
export function lintFiles(files: string[], write: (text: string) => void): number {
  let problems = 0;
  let rollouts = 0;
  for (const file of files) {
    const result = lintText(readFileSync(file === '-' ? 0 : file, 'utf8'), file);
    rollouts += result.rollouts;
    problems += result.problems.length;
    for (const { line, object, field, message } of result.problems) {
      write(`${file}:${line}: ${[object, field].filter(Boolean).join(' ')}: ${message}\n`);
    }
  }
  write(
    problems === 0
      ? `${rollouts} Rollout${rollouts === 1 ? '' : 's'}, no problems\n`
      : `${problems} problem${problems === 1 ? '' : 's'}\n`,
  );
  return problems;
}
