import { AppError } from '../../lib/errors.ts';
import { PROXY_ENV, proxyFlags } from '../../lib/proxy-process.ts';
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
  entries: Pick<Entries, 'main' | 'proxy' | 'sample'>,
  env: Record<string, string> = {},
): { argv: string[]; env: Record<string, string> } {
  const { command = [], args = [] } = container;
  const { name, tag } = parseImage(container.image ?? '');
  const [program, ...rest] = command;
  if (name === 'weir' && (program === undefined || program === 'weir' || program.endsWith('/weir'))) {
    const words = [...rest, ...args];
    // `weir proxy` becomes this process: there is one for each pod, and starting Node twice would double its start.
    if (words.length === 1 && words[0] === 'proxy')
      return { argv: [process.execPath, ...proxyFlags(env, true), entries.proxy], env: PROXY_ENV };
    return { argv: [process.execPath, entries.main, ...words], env: {} };
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
