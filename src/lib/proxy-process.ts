/** How a proxy's process is started, by `weir proxy` and by a node that starts it itself. */

/**
 * Smaller young generation and one helper thread (0 would be one for each core but one): what a sidecar needs is little, and there is
 * one per pod. More flags of V8 than this one would make node compile its own modules again instead of taking the code it was built with.
 */
const NODE_FLAGS = ['--v8-pool-size=1', '--max-semi-space-size=1', '--disable-warning=ExperimentalWarning'];

/** A sidecar trusts its mesh: it need not hold the public authorities, which cost it 1.5 MB, unless spans go there by https. */
function withoutPublicAuthorities(env: NodeJS.ProcessEnv): string[] {
  const asked = /-ca\b/.test(env.NODE_OPTIONS ?? '') || env.WEIR_TRACE_OTLP?.startsWith('https:');
  return asked ? [] : ['--use-openssl-ca'];
}

/** Node's flags for a proxy with this environment; `sidecar`: it has a control plane and no file. */
export const proxyFlags = (env: NodeJS.ProcessEnv, sidecar: boolean): string[] => [
  ...NODE_FLAGS,
  ...(sidecar ? withoutPublicAuthorities(env) : []),
];

/** The few threads there are need no heap of their own in the C library. */
export const PROXY_ENV = { MALLOC_ARENA_MAX: '1' };
