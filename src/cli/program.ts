import { Command, CommanderError } from 'commander';
import { toAppError } from '../lib/errors.ts';
import { commands } from './commands.ts';

export const VERSION = '0.1.0';

/** Loads only the module of the subcommand that was called. Exit codes: 0 done, 1 failed, 2 wrong usage. */
export async function main(argv: string[]): Promise<void> {
  const entry = commands.find(({ name }) => name === argv[0]);
  const program = new Command('weir')
    .description('Progressive delivery for Kubernetes, with a service mesh of its own.')
    .version(VERSION, '-V, --version');
  for (const { name, summary, group, load } of commands) {
    const loaded = name === entry?.name ? (await load()).command() : new Command(name).description(summary);
    program.addCommand(loaded.helpGroup(`${group}:`));
  }
  program.addHelpText(
    'after',
    '\nExamples:\n  weir demo                       the whole story on this machine\n  weir rollouts watch web -n shop  follow a rollout\n  weir install | kubectl apply --server-side -f -',
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
    process.stderr.write(`weir: ${error.message}\n`);
    if (process.env.WEIR_LOG === 'debug') process.stderr.write(`${error.stack}\n`);
    process.exitCode = 1;
  }
}

/** Wrong usage, at any depth, is exit code 2 and two lines: what was wrong, and where to read on. */
function helpHint(command: Command, path: string): void {
  command.exitOverride().showHelpAfterError(`See \`${path} --help\`.`);
  for (const sub of command.commands) helpHint(sub, `${path} ${sub.name()}`);
}
