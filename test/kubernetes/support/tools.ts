import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { moduleFor, resolveVersion } from './minor.ts';

const MODULES = join(dirname(fileURLToPath(import.meta.url)), '../tools');

interface Tool {
  /** Folder of its Go module: one each, because their replace directives conflict. */
  module: string;
  package: string;
}

/** The version that it says it has: without a release's build script it knows none. */
const kubernetes = (version: string): string => {
  const [major, minor] = version.slice(1).split('.');
  return ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version']
    .flatMap((path) => [
      `${path}.gitVersion=${version}`,
      `${path}.gitMajor=${major}`,
      `${path}.gitMinor=${minor}`,
    ])
    .map((value) => `-X ${value}`)
    .join(' ');
};

/** As go.mod of `tools/kubernetes` requires it. */
const PINNED = 'v1.36.3';
/** `--kubernetes` chose another one; the workers of jest inherit it. */
const version = (): string => process.env.WEIR_KUBERNETES ?? PINNED;
/** Whether it is a version before the policies: neither served nor enforced unless one asks for it. */
export const beforePolicies = (): boolean => Number(version().split('.')[1]) < 36;

const TOOLS = {
  'kube-apiserver': { module: 'kubernetes', package: 'k8s.io/kubernetes/cmd/kube-apiserver' },
  'kube-controller-manager': {
    module: 'kubernetes',
    package: 'k8s.io/kubernetes/cmd/kube-controller-manager',
  },
  etcd: { module: 'etcd', package: 'go.etcd.io/etcd/server/v3' },
  /** Argo CD's engine, as the small agent that its authors ship with it. */
  'gitops-engine': { module: 'gitops-engine', package: 'github.com/argoproj/gitops-engine/agent' },
  'kustomize-controller': {
    module: 'kustomize-controller',
    package: 'github.com/fluxcd/kustomize-controller',
  },
  /** Renders a chart, as Argo CD's repo-server has it do. */
  helm: { module: 'helm', package: 'helm.sh/helm/v4/cmd/helm' },
  /** The interpreter that Argo CD runs health checks with. */
  glua: { module: 'lua', package: 'github.com/yuin/gopher-lua/cmd/glua' },
} satisfies Record<string, Tool>;

export type ToolName = keyof typeof TOOLS;

const cacheDir = (): string => join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'weir/tools');

/** Folder of the module of a tool, and the linker's flags. */
function sourcesOf(name: ToolName): { folder: string; ldflags: string; pinned: boolean } {
  const { module }: Tool = TOOLS[name];
  if (module !== 'kubernetes') return { folder: join(MODULES, module), ldflags: '', pinned: true };
  const pinned = version() === PINNED;
  const folder = pinned ? join(MODULES, module) : moduleFor(version(), cacheDir());
  return { folder, ldflags: kubernetes(version()), pinned };
}

function binaryOf(name: ToolName): string {
  const { folder, ldflags, pinned } = sourcesOf(name);
  const hash = createHash('sha256').update(readFileSync(join(folder, 'go.mod')));
  // Of a version that somebody chose, go.sum is written by the build.
  if (pinned) hash.update(readFileSync(join(folder, 'go.sum')));
  hash.update(ldflags);
  return join(cacheDir(), `${name}-${hash.digest('hex').slice(0, 12)}`);
}

/** `--kubernetes 1.30`: from here on, another version is built and started. Answers what it came to. */
export function chooseKubernetes(wanted: string): string {
  process.env.WEIR_KUBERNETES = resolveVersion(wanted, join(MODULES, 'kubernetes'));
  return version();
}

/** Why these tests cannot run here; undefined when they can. */
export function whyNot(): string | undefined {
  if (process.platform !== 'linux') return 'they need Linux: network namespaces';
  if (process.getuid?.() !== 0) return 'they need root: a network namespace of their own';
  if (spawnSync('ip', ['netns', 'list']).status !== 0) return 'they need `ip` (iproute2)';
  if (spawnSync('setpriv', ['--version']).status !== 0) return 'they need `setpriv` (util-linux)';
  if (spawnSync('kubectl', ['version', '--client']).status !== 0)
    return 'they need `kubectl`: much of what is tested is what a person types';
  const missing = (Object.keys(TOOLS) as ToolName[]).filter((name) => !existsSync(binaryOf(name)));
  if (missing.length > 0 && spawnSync('go', ['version']).status !== 0)
    return `they need Go to build ${missing.join(', ')}`;
  return undefined;
}

/** Path of a tool; built from its module when the cache lacks it, which takes minutes for the API server. */
export async function tool(name: ToolName): Promise<string> {
  const binary = binaryOf(name);
  if (existsSync(binary)) return binary;
  const { package: main }: Tool = TOOLS[name];
  const { folder, ldflags, pinned } = sourcesOf(name);
  process.stderr.write(`building ${name} (${main}); once for this version\n`);
  const started = Date.now();
  mkdirSync(cacheDir(), { recursive: true });
  const fresh = `${binary}.${process.pid}`;
  const mod = pinned ? '-mod=readonly' : '-mod=mod';
  const args = ['build', mod, '-ldflags', `-s -w ${ldflags}`, '-o', fresh, main];
  const code = await new Promise<number | null>((resolve, reject) => {
    const child = spawn('go', args, { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] });
    child.once('error', reject).once('exit', resolve);
  });
  if (code !== 0) {
    rmSync(fresh, { force: true });
    throw new Error(`go ${args.join(' ')} in ${folder} ended with ${code}`);
  }
  renameSync(fresh, binary);
  process.stderr.write(`built ${name} in ${Math.round((Date.now() - started) / 1000)} s\n`);
  return binary;
}

/** Folder of a Go module that a tool was built from: some ship manifests beside their code. */
export function sourceOf(name: ToolName, module: string): string {
  const { status, stdout, stderr } = spawnSync('go', ['list', '-m', '-f', '{{.Dir}}', module], {
    cwd: join(MODULES, TOOLS[name].module),
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`go list -m ${module}: ${stderr}`);
  return stdout.trim();
}

/** All of them, one after the other: each build uses every core. */
export async function buildTools(): Promise<void> {
  for (const name of Object.keys(TOOLS) as ToolName[]) await tool(name);
}
