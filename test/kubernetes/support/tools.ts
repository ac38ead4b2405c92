import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MODULES = join(dirname(fileURLToPath(import.meta.url)), '../tools');

interface Tool {
  /** Folder of its Go module: one each, because their replace directives conflict. */
  module: string;
  package: string;
  /** Version it says it has, where the build has to tell it. */
  ldflags?: string;
}

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

const TOOLS = {
  'kube-apiserver': {
    module: 'kubernetes',
    package: 'k8s.io/kubernetes/cmd/kube-apiserver',
    ldflags: kubernetes('v1.36.3'),
  },
  'kube-controller-manager': {
    module: 'kubernetes',
    package: 'k8s.io/kubernetes/cmd/kube-controller-manager',
    ldflags: kubernetes('v1.36.3'),
  },
  etcd: { module: 'etcd', package: 'go.etcd.io/etcd/server/v3' },
  /** Argo CD's engine, as the small agent that its authors ship with it. */
  'gitops-engine': { module: 'gitops-engine', package: 'github.com/argoproj/gitops-engine/agent' },
  'kustomize-controller': {
    module: 'kustomize-controller',
    package: 'github.com/fluxcd/kustomize-controller',
  },
  /** The interpreter that Argo CD runs health checks with. */
  glua: { module: 'lua', package: 'github.com/yuin/gopher-lua/cmd/glua' },
} satisfies Record<string, Tool>;

export type ToolName = keyof typeof TOOLS;

const cacheDir = (): string => join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'weir/tools');

function binaryOf(name: ToolName): string {
  const tool: Tool = TOOLS[name];
  const hash = createHash('sha256')
    .update(readFileSync(join(MODULES, tool.module, 'go.mod')))
    .update(readFileSync(join(MODULES, tool.module, 'go.sum')))
    .update(tool.ldflags ?? '');
  return join(cacheDir(), `${name}-${hash.digest('hex').slice(0, 12)}`);
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
  const { module, package: main, ldflags = '' }: Tool = TOOLS[name];
  process.stderr.write(`building ${name} (${main}); once for this version\n`);
  const started = Date.now();
  mkdirSync(cacheDir(), { recursive: true });
  const fresh = `${binary}.${process.pid}`;
  const args = ['build', '-mod=readonly', '-ldflags', `-s -w ${ldflags}`, '-o', fresh, main];
  const code = await new Promise<number | null>((resolve, reject) => {
    const child = spawn('go', args, { cwd: join(MODULES, module), stdio: ['ignore', 'inherit', 'inherit'] });
    child.once('error', reject).once('exit', resolve);
  });
  if (code !== 0) {
    rmSync(fresh, { force: true });
    throw new Error(`go ${args.join(' ')} in ${module} ended with ${code}`);
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
