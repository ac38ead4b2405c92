import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AppError } from '../../lib/errors.ts';

/** The files that a process of this package is started from. */
export interface Entries {
  root: string;
  main: string;
  proxy: string;
  sample: string;
}

/**
 * Finds the package from wherever this module was bundled to. The bundle is used when there is one; WEIR_FROM_SOURCE=1
 * runs the sources directly.
 */
export function findEntries(env: NodeJS.ProcessEnv = process.env): Entries {
  let root = dirname(fileURLToPath(import.meta.url));
  while (!isPackage(root)) {
    const parent = dirname(root);
    if (parent === root)
      throw new AppError('Internal', 'cannot find the weir package around its own code: install it again');
    root = parent;
  }
  const bundle = join(root, 'dist/main.js');
  const source = env.WEIR_FROM_SOURCE === '1' || !existsSync(bundle);
  return source
    ? {
        root,
        main: join(root, 'src/main.ts'),
        proxy: join(root, 'src/mesh/proxy/main.ts'),
        sample: join(root, 'src/local/node/sample/main.ts'),
      }
    : { root, main: bundle, proxy: join(root, 'dist/proxy.cjs'), sample: join(root, 'dist/sample.js') };
}

function isPackage(folder: string): boolean {
  const file = join(folder, 'package.json');
  return existsSync(file) && (JSON.parse(readFileSync(file, 'utf8')) as { name?: string }).name === 'weir';
}
