import { execFileSync } from 'node:child_process';
import { expect, test } from '@jest/globals';

test('a pattern that could be tried in ever more ways takes no longer than the text, in matchers and in replacements', () => {
  const { href } = new URL('./regex.ts', import.meta.url);
  const script = `
    const { compileAnchored } = await import(${JSON.stringify(href)});
    const text = 'a'.repeat(64);
    console.log(compileAnchored('(a+)+b').test(text), compileAnchored('(?:(a|aa)+)(b?)').exec(text)[0].length);`;
  // In a process of its own: what backtracks once more for each letter would not end, nor could this test end it.
  const answer = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  expect(answer).toBe('false 64\n');
});
