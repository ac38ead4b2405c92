import type { KubeClient } from '../../kube/types.ts';

export type Answer =
  | { status: 'ok'; message: string }
  | { status: 'warning' | 'failed'; message: string; hint: string };

/** The remedy for whatever an installation lacks. */
export const INSTALL = 'Run `weir install | kubectl apply --server-side -f -`.';

export interface CheckContext {
  client: KubeClient;
  namespace: string;
  signal: AbortSignal;
}

export interface Check {
  name: string;
  /** Several answers where it looks at several things; what it throws is a failure of its own. */
  run(context: CheckContext): Promise<Answer | Answer[]>;
  /** What to do when it throws. */
  hint: string;
}

export interface CheckGroup {
  name: string;
  /** Nothing after it can succeed when one of these fails. */
  fatal?: boolean;
  checks: Check[];
}

export type Result = Answer & { group: string; check: string };

export const ok = (message: string): Answer => ({ status: 'ok', message });
export const failed = (message: string, hint: string): Answer => ({ status: 'failed', message, hint });
export const warning = (message: string, hint: string): Answer => ({ status: 'warning', message, hint });
