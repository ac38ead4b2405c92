import { Command, CommanderError, Help, Option } from 'commander';
import { toAppError } from '../lib/errors.ts';
import { commands } from './commands.ts';
import { WrongInput } from './given.ts';
import { told } from './told.ts';

export const VERSION = '0.1.0';

/** Loads only the module of the subcommand that was called. Exit codes: 0 done, 1 failed, 2 wrong usage. */
export async function main(argv: string[]): Promise<void> {
  const asked = argv[0] === 'help' ? argv[1] : argv[0];
  const entry = commands.find(
    ({ name, alias }) => asked !== undefined && (name === asked || alias === asked),
  );
  const program = new Command('weir')
    .description('Progressive delivery for Kubernetes, with a service mesh of its own.')
    .version(VERSION, '-V, --version');
  for (const { name, alias, summary, group, load } of commands) {
    const loaded = name === entry?.name ? (await load()).command() : new Command(name).description(summary);
    if (alias) loaded.alias(alias);
    program.addCommand(loaded.helpGroup(`${group}:`));
  }
  program.addHelpText(
    'after',
    '\nExamples:\n  weir demo                        the whole story on this machine\n  weir rollouts watch web -n shop  follow a rollout\n  weir install | kubectl apply --server-side -f -',
  );
  helpHint(program, 'weir');
  try {
    if (argv.length === 0) {
      program.outputHelp();
      return;
    }
    await program.parseAsync(argv, { from: 'user' });
  } catch (thrown) {
    if (thrown instanceof CommanderError) {
      process.exitCode = thrown.exitCode === 0 ? 0 : 2;
      return;
    }
    const error = toAppError(thrown);
    process.stderr.write(`weir: ${told(error)}\n`);
    if (process.env.WEIR_LOG === 'debug') process.stderr.write(`${error.stack}\n`);
    process.exitCode = error instanceof WrongInput ? 2 : 1;
  }
}

/** Commander's, without defaults that say nothing: off, and empty. */
function optionDescription(option: Option): string {
  const { defaultValue } = option;
  const nothing = defaultValue === false || (Array.isArray(defaultValue) && defaultValue.length === 0);
  if (!nothing && defaultValue !== '') return new Help().optionDescription(option);
  const plain = new Option(option.flags, option.description);
  if (option.argChoices) plain.choices(option.argChoices as string[]);
  if (option.envVar) plain.env(option.envVar);
  return new Help().optionDescription(plain);
}

/** What a list tells in a few words is a sentence above the command's own help. */
function commandDescription(command: Command): string {
  const text = new Help().commandDescription(command);
  return text.replace(/^[a-z]/, (letter) => letter.toUpperCase()).replace(/[^.]$/, '$&.');
}

/** Wrong usage, at any depth, is exit code 2 and two lines: what was wrong, and where to read on. */
function helpHint(command: Command, path: string): void {
  command
    .exitOverride()
    .showHelpAfterError(`See \`${path} --help\`.`)
    .configureHelp({ optionDescription, commandDescription })
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'weir: ')) });
  for (const sub of command.commands) helpHint(sub, `${path} ${sub.name()}`);
}
