import type { MetricStatus, Rollout } from '../../api/rollout.ts';
import { colour } from '../render/colour.ts';
import { LiveBlock, wrap } from '../render/live.ts';
import { bar } from '../render/progress.ts';
import { sharesOf } from '../rollouts/view.ts';
import type { LoadReport } from './observe.ts';

/** What the view shows at one moment. */
export interface Scene {
  rollouts: Rollout[];
  load: LoadReport | undefined;
  /** Requests a second over the last moments. */
  rps: number | undefined;
  now: string;
}

const tag = (images: string[] | undefined): string => images?.[0]?.split(':').at(-1) ?? '';

const percent = (value: number | undefined): string =>
  value === undefined ? '' : `${(value * 100).toFixed(value === 1 ? 0 : 2)}%`;
const milliseconds = (value: number | undefined): string =>
  value === undefined ? '' : `${Math.round(value * 1000)} ms`;

const metric = (metrics: MetricStatus[], name: string): number | undefined =>
  metrics.find((entry) => entry.name === name)?.canary;

/** Pure: the lines of the live view, coloured for `stream`. */
export function draw(
  scene: Scene,
  stream: { isTTY?: boolean | undefined } = process.stdout,
  columns = 100,
): string[] {
  const lines = ['', ...wrap(scene.now, columns, 2).map((line) => colour(line, 'bold', stream)), ''];
  for (const { metadata, status } of scene.rollouts) {
    const phase = status?.phase ?? 'Initializing';
    const style =
      phase === 'Failed' || phase === 'RollingBack' ? 'red' : phase === 'Healthy' ? 'green' : 'cyan';
    const weight = sharesOf(status).canary;
    const metrics = status?.analysis?.metrics ?? [];
    const versions = [
      tag(status?.stable?.images) && `stable ${tag(status?.stable?.images)}`,
      tag(status?.canary?.images) && `canary ${tag(status?.canary?.images)}`,
    ].filter(Boolean);
    const judged = [
      percent(metric(metrics, 'success-rate')) && `success ${percent(metric(metrics, 'success-rate'))}`,
      milliseconds(metric(metrics, 'latency')) && `p99 ${milliseconds(metric(metrics, 'latency'))}`,
    ].filter(Boolean);
    lines.push(
      `${metadata.name.padEnd(9)} ${colour(bar(weight / 100, 24), style, stream)} ${`${weight}%`.padStart(4)}  ${colour(phase.padEnd(12), style, stream)} ${versions.join(', ')}`,
      ...wrap([judged.join(', '), status?.message ?? ''].filter(Boolean).join(' - '), columns - 10, 2).map(
        (line) => `${''.padEnd(10)}${line}`,
      ),
    );
  }
  if (scene.load) {
    const { ok, failed } = scene.load;
    const rate = scene.rps === undefined ? '' : `${Math.round(scene.rps)} requests/s, `;
    lines.push(
      '',
      `users     ${rate}${ok} answered, ${failed > 0 ? colour(`${failed} failed`, 'yellow', stream) : '0 failed'}`,
    );
  }
  return lines;
}

/** One plain line for each Rollout that says something new; what logs and CI show instead of a live view. */
export class PlainView {
  readonly #last = new Map<string, string>();
  readonly #write: (line: string) => void;

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  show({ rollouts }: Scene): void {
    for (const { metadata, status } of rollouts) {
      const weight = sharesOf(status).canary;
      const key = `${status?.phase} ${weight} ${status?.step?.index ?? ''}`;
      if (this.#last.get(metadata.name) === key || !status?.phase) continue;
      this.#last.set(metadata.name, key);
      this.#write(
        `${metadata.name}: ${status.phase}, canary at ${weight} %${status.message ? `: ${status.message}` : ''}`,
      );
    }
  }

  say(line: string): void {
    this.#write(line);
  }

  tell(line: string): void {
    this.#write(`\n${line}`);
  }

  end(): void {}
}

/** Redraws a few lines in place; what has been said stays above them. */
export class LiveView {
  readonly #block: LiveBlock;
  readonly #stream: NodeJS.WriteStream;
  #scene: Scene | undefined;
  #open = '';

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    this.#block = new LiveBlock(stream);
  }

  show(scene: Scene): void {
    this.#scene = scene;
    this.#block.draw(draw(scene, this.#stream, this.#block.columns));
  }

  say(line: string): void {
    this.#block.say(`${this.#open}${line}`);
    this.#open = '';
    if (this.#scene) this.show(this.#scene);
  }

  /** The chapter's line is the headline of the view while it is told, and stays above its outcome. */
  tell(line: string): void {
    this.#open = `\n${wrap(line, this.#block.columns, 3).join('\n')}\n`;
  }

  end(): void {
    this.#block.end();
  }
}
