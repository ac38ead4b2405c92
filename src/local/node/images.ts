import { AppError } from '../../lib/errors.ts';
import type { Entries } from './entry.ts';

export interface Image {
  name: string;
  tag: string;
}

/** `registry.example:5000/team/weir-sample:v2@sha256:…` -> {name: 'weir-sample', tag: 'v2'}. */
export function parseImage(image: string): Image {
  const last = image.split('@')[0]!.split('/').at(-1) ?? '';
  const [name = '', tag = 'latest'] = last.split(':');
  return { name, tag };
}

/** What to execute for a container: the two images of this package are modules of it, the rest are host commands. */
export function commandOf(
  container: { name: string; image?: string; command?: string[]; args?: string[] },
  entries: Pick<Entries, 'main' | 'sample'>,
): { argv: string[]; env: Record<string, string> } {
  const { command = [], args = [] } = container;
  const { name, tag } = parseImage(container.image ?? '');
  const [program, ...rest] = command;
  if (name === 'weir' && (program === undefined || program === 'weir' || program.endsWith('/weir'))) {
    return { argv: [process.execPath, entries.main, ...rest, ...args], env: {} };
  }
  if (name === 'weir-sample' && program === undefined) {
    return { argv: [process.execPath, entries.sample, ...args], env: { VERSION: tag } };
  }
  if (program === undefined) {
    throw new AppError(
      'Invalid',
      `container ${container.name}: the local cluster pulls no images and ${container.image ?? 'none'} is not one of its own (weir, weir-sample): give the container a command that this machine has`,
      { details: { reason: 'ErrImagePull' } },
    );
  }
  const known = { node: process.execPath }[program];
  return { argv: [known ?? program, ...rest, ...args], env: {} };
}
