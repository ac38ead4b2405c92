import { describe, expect, test } from '@jest/globals';
import type { Command } from 'commander';
import { commands } from './commands.ts';

/** A command and what is below it, as `--help` lists it. */
function visible(command: Command, path: string): [string, Command][] {
  const shown = command.createHelp().visibleCommands(command);
  return [
    [path, command],
    ...shown.filter((sub) => sub.name() !== 'help').flatMap((sub) => visible(sub, `${path} ${sub.name()}`)),
  ];
}

function help(command: Command): string {
  let text = '';
  const writeOut = (part: string) => {
    text += part;
  };
  command.configureOutput({ writeOut }).outputHelp();
  return text;
}

const entries = await Promise.all(
  commands.map(async ({ name, load }) => visible((await load()).command(), `weir ${name}`)),
);

describe('--help', () => {
  test.each(entries.flat())('%s has an example of itself, with options that there are', (path, command) => {
    const [, examples = ''] = help(command).split(/^Examples?:\n/m);
    const own = examples.split('\n').filter((line) => line.includes(path.split(' ').slice(0, 2).join(' ')));
    expect(own).not.toEqual([]);
    // A group's examples are of its subcommands, which say more.
    if (command.commands.length > 0) return;
    expect(examples).toContain(path);
    const known = command.options.flatMap(({ short, long }) => [short, long]);
    for (const line of own.filter((each) => each.includes(path))) {
      const call = line.slice(line.indexOf(path)).split(/ {3}| \||&&| > /)[0]!;
      for (const [, option] of call.matchAll(/ (--?[a-z][a-z-]*)/gi))
        expect({ line, known }).toMatchObject({ known: expect.arrayContaining([option]) });
    }
  });
});
