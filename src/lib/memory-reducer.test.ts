import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';

test('V8 has such a flag, and a process that has set it collects and ends as any other', () => {
  const url = new URL('./memory-reducer.ts', import.meta.url).href;
  const program = `
    import { withoutMemoryReducer } from ${JSON.stringify(url)};
    withoutMemoryReducer();
    for (let n = 0; n < 5; n += 1) gc({ type: 'major', execution: 'sync' });
    console.log('collected');`;
  const args = ['--expose-gc', '--input-type=module', '-e', program];
  const { stdout, stderr, status } = spawnSync(process.execPath, args, {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
    encoding: 'utf8',
  });
  expect([stdout, stderr, status]).toEqual(['collected\n', '', 0]);
});
