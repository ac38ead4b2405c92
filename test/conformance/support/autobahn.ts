/**
 * The Autobahn test suite as its authors publish it. It runs on Python 2.7 alone, which is past its end of life: a machine
 * without one is no fault, in CI neither.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const REQUIREMENTS = join(import.meta.dirname, '../tools/autobahn/requirements.txt');
/** `.pth` files in the folder make zope's namespace package: PYTHONPATH alone does not read them. */
const MAIN = `import site, sys
site.addsitedir(sys.argv.pop(1))
from autobahntestsuite import wstest
wstest.run()
`;

export interface Autobahn {
  python: string;
  /** What pip installed, kept for this version of the requirements. */
  packages: string;
}

/** `OK`, `NON-STRICT`, `INFORMATIONAL`, `FAILED`, … of what was answered, and of how the connection was closed. */
export interface Verdict {
  behavior: string;
  behaviorClose: string;
}

const runs = (python: string) => {
  const { status, stdout } = spawnSync(python, ['-c', 'import sys; print(sys.version_info[:2])'], {
    encoding: 'utf8',
  });
  return status === 0 && stdout.trim() === '(2, 7)';
};

/** On the PATH, or where pyenv keeps its versions. */
function python2(): string | undefined {
  const found = ['python2.7', 'python2'].find(runs);
  if (found) return found;
  const pyenv = spawnSync('pyenv', ['versions', '--bare'], { encoding: 'utf8' });
  const version = pyenv.stdout?.split('\n').find((each) => each.startsWith('2.7.'));
  if (version === undefined) return undefined;
  const { stdout } = spawnSync('pyenv', ['prefix', version], { encoding: 'utf8' });
  return [join(stdout.trim(), 'bin/python2.7')].find(runs);
}

/** The suite, installed once for each version of its requirements; or why it cannot run here. */
export function autobahn(): Autobahn | string {
  const hash = createHash('sha256').update(readFileSync(REQUIREMENTS)).digest('hex').slice(0, 12);
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'weir/tools');
  const packages = join(cache, `autobahn-${hash}`);
  const python = python2();
  if (python === undefined) return 'Autobahn runs on Python 2.7 alone, and there is none here';
  if (existsSync(packages)) return { python, packages };
  process.stderr.write('installing Autobahn, once for this version\n');
  mkdirSync(cache, { recursive: true });
  const fresh = `${packages}.${process.pid}`;
  const args = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--target', fresh, '-r', REQUIREMENTS];
  const { status, stderr } = spawnSync(python, args, { encoding: 'utf8' });
  if (status !== 0) {
    rmSync(fresh, { recursive: true, force: true });
    return `Python 2.7 has no pip that can install Autobahn: ${stderr.trim().split('\n').at(-1)}`;
  }
  renameSync(fresh, packages);
  return { python, packages };
}

/** Runs the fuzzing client against `url`; verdicts by case, such as `6.4.1`. */
export async function fuzz(
  { python, packages }: Autobahn,
  url: string,
  dir: string,
  excluded: readonly string[],
): Promise<Map<string, Verdict>> {
  mkdirSync(dir, { recursive: true });
  const spec = join(dir, 'spec.json');
  const servers = [{ agent: 'it', url }];
  writeFileSync(
    spec,
    JSON.stringify({
      outdir: dir,
      servers,
      cases: ['*'],
      'exclude-cases': excluded,
      'exclude-agent-cases': {},
    }),
  );
  const child = spawn(python, ['-c', MAIN, packages, '--mode', 'fuzzingclient', '--spec', spec], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    said += chunk;
  });
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`Autobahn ended with ${code}: ${said}`);
  const index: Record<string, Record<string, Verdict>> = JSON.parse(
    readFileSync(join(dir, 'index.json'), 'utf8'),
  );
  return new Map(
    Object.entries(index.it!).map(([name, { behavior, behaviorClose }]) => [
      name,
      { behavior, behaviorClose },
    ]),
  );
}
