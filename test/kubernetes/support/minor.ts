import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const MODULE = 'k8s.io/kubernetes';

function go(args: string[], cwd: string): string {
  const { status, stdout, stderr } = spawnSync('go', args, { cwd, encoding: 'utf8' });
  if (status !== 0) throw new Error(`go ${args.join(' ')}: ${stderr || stdout}`);
  return stdout;
}

/** `1.30` is its newest patch release, `1.30.4` and `v1.30.4` are themselves: `v1.30.14`. */
export function resolveVersion(wanted: string, cwd: string): string {
  const [, minor, patch] = /^v?(1\.\d+)(\.\d+)?$/.exec(wanted) ?? [];
  if (!minor)
    throw new Error(
      `--kubernetes ${wanted}: give a minor version such as 1.30, or a whole one such as 1.30.14`,
    );
  if (patch) return `v${minor}${patch}`;
  const patches = go(['list', '-m', '-versions', MODULE], cwd)
    .trim()
    .split(/\s+/)
    .filter((version) => new RegExp(`^v${minor.replace('.', '\\.')}\\.\\d+$`).test(version));
  const newest = patches.at(-1);
  if (!newest)
    throw new Error(
      `--kubernetes ${wanted}: no release of it; \`go list -m -versions ${MODULE}\` has them all`,
    );
  return newest;
}

/**
 * Folder of a Go module for a version of Kubernetes that is not the pinned one, made below `parent`. Kubernetes' own
 * go.mod takes its staging modules from folders beside it; here they are what was released of them. Sums come from Go's
 * checksum database.
 */
export function moduleFor(version: string, parent: string): string {
  const folder = join(parent, `kubernetes-${version}`);
  if (existsSync(join(folder, 'go.mod'))) return folder;
  mkdirSync(parent, { recursive: true });
  const { GoMod } = JSON.parse(go(['mod', 'download', '-json', `${MODULE}@${version}`], parent)) as {
    GoMod: string;
  };
  const theirs = readFileSync(GoMod, 'utf8');
  const language = /^go (\S+)$/m.exec(theirs)?.[1] ?? '1.22.0';
  const staged = [...theirs.matchAll(/^\s*(?:replace )?(k8s\.io\/\S+) => \.\/staging\//gm)].map(
    ([, path]) => path,
  );
  // Older ones name each of them twice: once as what is required, once as what takes its place.
  const released = [...new Set(staged)]
    .sort()
    .map((path) => `\t${path} => ${path} ${version.replace('v1.', 'v0.')}\n`);
  const fresh = `${folder}.${process.pid}`;
  mkdirSync(fresh);
  writeFileSync(
    join(fresh, 'go.mod'),
    // Its own language version: the runtime then behaves as that release was tested with.
    `module weir.dev/test/kubernetes/${version}\n\ngo ${language}\n\nrequire ${MODULE} ${version}\n\nreplace (\n${released.join('')})\n`,
  );
  renameSync(fresh, folder);
  return folder;
}
