import { kinds } from '../../api/kinds.ts';
import type { Rollout } from '../../api/rollout.ts';
import type { KubeClient } from '../../kube/types.ts';
import { AppError } from '../../lib/errors.ts';
import { LiveBlock } from '../render/live.ts';
import { findRollout } from './actions.ts';
import { formatValue, phaseText, rolloutCard, sharesOf, tagOf } from './view.ts';

/** Exit codes of `weir rollouts watch`. */
export const EXIT = { promoted: 0, error: 1, usage: 2, rolledBack: 3, held: 4, interrupted: 130 } as const;

export interface WatchOptions {
  client: KubeClient;
  namespace: string;
  name: string;
  /** Milliseconds after which a run that has not ended counts as held; undefined: watch until interrupted. */
  timeout: number | undefined;
  /** Only a stable revision with this image tag counts as promoted. */
  tag: string | undefined;
  stream: NodeJS.WriteStream;
  signal: AbortSignal;
}

/** How a Rollout at rest ended, or undefined while a run is on. */
export function outcomeOf({ status }: Rollout, tag: string | undefined): number | undefined {
  if (status?.phase === 'Failed') return EXIT.rolledBack;
  if (status?.phase !== 'Healthy') return undefined;
  if (tag !== undefined && !status.stable?.images.some((image) => image.endsWith(`:${tag}`)))
    return undefined;
  return EXIT.promoted;
}

/** One line for logs and pipes, printed when it changes. */
export function plainLine(rollout: Rollout): string {
  const { status } = rollout;
  const metrics = (status?.analysis?.metrics ?? []).map(
    ({ name, canary, unit }) => `${name}=${formatValue(canary, unit) || 'none'}`,
  );
  return [
    phaseText(rollout),
    `canary ${tagOf(status?.canary?.images) || '-'} ${sharesOf(status).canary}%`,
    `stable ${tagOf(status?.stable?.images) || '-'}`,
    ...metrics,
    status?.message ?? '',
  ]
    .filter(Boolean)
    .join('  ');
}

/** Live view on a terminal, a line per change elsewhere. Resolves with the exit code. */
export async function watchRollout({
  client,
  namespace,
  name,
  timeout,
  tag,
  stream,
  signal,
}: WatchOptions): Promise<number> {
  const stop = new AbortController();
  const ended = AbortSignal.any(
    timeout === undefined ? [signal, stop.signal] : [signal, stop.signal, AbortSignal.timeout(timeout)],
  );
  const live = stream.isTTY === true && process.env.TERM !== 'dumb';
  let current = await findRollout(client, namespace, name);
  const block = live ? new LiveBlock(stream) : undefined;
  let lastLine = '';

  const draw = () => {
    if (!block) {
      const line = plainLine(current);
      if (line !== lastLine) stream.write(`${line}\n`);
      lastLine = line;
      return;
    }
    block.draw(rolloutCard(current, Date.now(), stream, block.columns).trimEnd().split('\n'));
  };
  // Ages go on counting between events.
  const ticker = live ? setInterval(draw, 1000) : undefined;

  let code: number | undefined;
  const see = (rollout: Rollout) => {
    current = rollout;
    draw();
    const outcome = outcomeOf(rollout, tag);
    // Without a timeout a person is looking: stay.
    if (timeout !== undefined && outcome !== undefined) {
      code = outcome;
      stop.abort();
    }
  };
  try {
    see(current);
    while (!ended.aborted) {
      const events = client.watch<Rollout & { metadata: { name: string } }>(
        kinds.Rollout,
        namespace,
        {
          fieldSelector: `metadata.name=${name}`,
          resourceVersion: current.metadata.resourceVersion,
          allowWatchBookmarks: true,
        },
        ended,
      );
      for await (const event of events) {
        if (event.type === 'DELETED')
          throw new AppError('NotFound', `Rollout ${namespace}/${name} was deleted`);
        if (event.type === 'ADDED' || event.type === 'MODIFIED') see(event.object);
        if (event.type === 'ERROR') break;
      }
      if (!ended.aborted) see(await client.get<Rollout>(kinds.Rollout, namespace, name, ended));
    }
  } catch (error) {
    if (!ended.aborted) throw error;
  } finally {
    clearInterval(ticker);
    block?.end();
  }
  if (signal.aborted) return EXIT.interrupted;
  if (code === undefined) {
    const wanted = tag === undefined ? '' : `, and ${tag} is not promoted`;
    stream.write(
      `held: ${current.status?.phase ?? 'Initializing'} when the time was over${wanted}; see \`weir rollouts why ${name} -n ${namespace}\`\n`,
    );
    return EXIT.held;
  }
  stream.write(
    code === EXIT.promoted
      ? `promoted: ${tagOf(current.status?.stable?.images)}\n`
      : `rolled back: ${tagOf(current.status?.canary?.images)}; see \`weir rollouts why ${name} -n ${namespace}\`\n`,
  );
  return code;
}
