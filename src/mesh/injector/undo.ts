import type { PodLike } from './pod.ts';
import type { ReplacedProbes } from './probes.ts';

/** On an injected pod: JSON of what was there before, so that `weir uninject` restores it to the letter. */
export const UNDO_ANNOTATION = 'weir.dev/uninject';

export interface Undo {
  /** container -> variable -> value before. */
  env: Record<string, Record<string, string>>;
  /** container -> variable put in front of its env. */
  podIp: Record<string, string>;
  /** container -> its tcpSocket probes before; absent when there were none. */
  probes?: Record<string, ReplacedProbes>;
  /** Annotations that the injection added. */
  annotations: string[];
  /** Lists and maps that the injection created: they go when they are empty again. */
  created: string[];
}

/** Undefined when the pod was not injected by us, or its record has been edited away. */
export function readUndo(pod: PodLike): Undo | undefined {
  const text = pod.metadata?.annotations?.[UNDO_ANNOTATION];
  if (text === undefined) return undefined;
  try {
    const parsed = JSON.parse(text) as Partial<Undo>;
    return {
      env: parsed.env ?? {},
      podIp: parsed.podIp ?? {},
      ...(parsed.probes ? { probes: parsed.probes } : {}),
      annotations: parsed.annotations ?? [],
      created: parsed.created ?? [],
    };
  } catch {
    return undefined;
  }
}
