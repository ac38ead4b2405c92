import { toAppError } from '../../lib/errors.ts';
import { colour } from '../render/colour.ts';
import { noWayTo } from '../told.ts';
import { type CheckContext, type CheckGroup, failed, type Result } from './model.ts';

/** Runs the groups in order, the checks of a group at the same time; stops after a fatal group that failed. */
export async function runChecks(groups: CheckGroup[], context: CheckContext): Promise<Result[]> {
  const results: Result[] = [];
  for (const group of groups) {
    const answers = await Promise.all(
      group.checks.map(async (check) => {
        try {
          const answer = await check.run(context);
          return { check, answers: Array.isArray(answer) ? answer : [answer] };
        } catch (thrown) {
          const error = toAppError(thrown);
          const way = noWayTo(error);
          const answer = way ? failed(way.what, sentence(way.remedy)) : failed(error.message, check.hint);
          return { check, answers: [answer] };
        }
      }),
    );
    const here = answers.flatMap(({ check, answers: all }) =>
      all.map((answer): Result => ({ group: group.name, check: check.name, ...answer })),
    );
    results.push(...here);
    if (group.fatal && here.some(({ status }) => status === 'failed')) break;
  }
  return results;
}

const sentence = (text: string): string => text.replace(/^[a-z]/, (letter) => letter.toUpperCase());

export const succeeded = (results: Result[]): boolean => results.every(({ status }) => status !== 'failed');

const MARKS = { ok: ['√', 'green'], warning: ['!', 'yellow'], failed: ['×', 'red'] } as const;

export function renderResults(
  results: Result[],
  format: 'table' | 'json' | 'short',
  stream: { isTTY?: boolean | undefined } = process.stdout,
): string {
  if (format === 'json') {
    return `${JSON.stringify({ success: succeeded(results), checks: results }, null, 2)}\n`;
  }
  const shown = format === 'short' ? results.filter(({ status }) => status !== 'ok') : results;
  let out = '';
  let group = '';
  for (const result of shown) {
    if (result.group !== group) {
      out += `${out === '' ? '' : '\n'}${colour(result.group, 'bold', stream)}\n`;
      group = result.group;
    }
    const [mark, style] = MARKS[result.status];
    out += `${colour(mark, style, stream)} ${result.check}: ${result.message}\n`;
    if (result.status !== 'ok') out += `    ${result.hint}\n`;
  }
  const count = (status: Result['status']) => results.filter((result) => result.status === status).length;
  const summary = `${count('ok')} ok, ${count('warning')} with warnings, ${count('failed')} failed`;
  return `${out}${out === '' ? '' : '\n'}${summary}\n`;
}
