/** The published programs of the suites, built from the pinned modules in `tools/` into a cache outside the repository. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { skipped } from '../../support/skipped.ts';

const MODULES = join(import.meta.dirname, '../tools');

const TOOLS = {
  h2spec: { module: 'h2spec', package: 'github.com/summerwind/h2spec/cmd/h2spec' },
  'grpc-interop-client': { module: 'grpc', package: 'google.golang.org/grpc/interop/client' },
  'grpc-interop-server': { module: 'grpc', package: 'google.golang.org/grpc/interop/server' },
} as const;

type ToolName = keyof typeof TOOLS;

/** Path of a program; undefined, with the reason on stderr (`skipped`), where it is neither cached nor can be built. */
export function tool(name: ToolName): string | undefined {
  const { module, package: main } = TOOLS[name];
  const cwd = join(MODULES, module);
  const hash = createHash('sha256')
    .update(readFileSync(join(cwd, 'go.mod')))
    .update(readFileSync(join(cwd, 'go.sum')));
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'weir/tools');
  const binary = join(cache, `${name}-${hash.digest('hex').slice(0, 12)}`);
  if (existsSync(binary)) return binary;
  if (spawnSync('go', ['version']).status !== 0) {
    skipped(`${name} is built with Go, which is not installed`);
    return undefined;
  }
  process.stderr.write(`building ${name} (${main}), once for this version\n`);
  mkdirSync(cache, { recursive: true });
  const fresh = `${binary}.${process.pid}`;
  const { status, stderr } = spawnSync('go', ['build', '-mod=readonly', '-o', fresh, main], {
    cwd,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`go build ${main} ended with ${status}: ${stderr}`);
  renameSync(fresh, binary);
  return binary;
}
