import { spawnSync } from 'node:child_process';
import { describe, expect, test } from '@jest/globals';
import { helps, parse } from './help.ts';

describe('a command line', () => {
  test.each(Object.keys(helps))('%s --help explains it and measures nothing', (name) => {
    const asked = parse([name, '--json', '--help']);
    expect(asked).toMatchObject({ code: 0, text: expect.stringContaining(helps[name]!.examples[0]!) });
    for (const variable of Object.keys(helps[name]!.environment ?? {}))
      expect((asked as { text: string }).text).toContain(variable);
  });

  test('with a flag or a name that there is not is refused, by name', () => {
    expect(parse(['controller', '--pear'])).toMatchObject({
      code: 2,
      text: expect.stringMatching(/^controller has no flag --pear\n[\s\S]*--peer/),
    });
    expect(parse(['prozy'])).toMatchObject({ code: 2, text: expect.stringContaining('no bench prozy') });
    expect(parse([])).toMatchObject({ code: 2 });
  });

  test('gives the bench its own flags', () => {
    expect(parse(['controller', '--json', '--peer'])).toEqual({
      name: 'controller',
      flags: ['--peer'],
      json: true,
    });
  });
});

test('the program prints help and ends', () => {
  const { stdout, status } = spawnSync(process.execPath, ['test/bench/main.ts', 'controller', '--help'], {
    encoding: 'utf8',
  });
  expect([status, stdout]).toEqual([0, expect.stringContaining('WEIR_BENCH_ROLLOUTS')]);
});
