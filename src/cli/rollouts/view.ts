import { annotations } from '../../api/names.ts';
import type { MetricStatus, Phase, RevisionStatus, Rollout } from '../../api/rollout.ts';
import { formatDuration } from '../../lib/duration.ts';
import { type ColourTarget, colour, type Style } from '../render/colour.ts';
import { wrap } from '../render/live.ts';
import { bar } from '../render/progress.ts';
import { renderTable } from '../render/table.ts';

const PHASE_STYLE: Record<Phase, Style> = {
  Initializing: 'grey',
  Healthy: 'green',
  Waiting: 'yellow',
  Preparing: 'cyan',
  Progressing: 'cyan',
  Watching: 'cyan',
  Promoting: 'green',
  RollingBack: 'red',
  Failed: 'red',
};

export const tagOf = (images: string[] | undefined): string =>
  (images ?? []).map((image) => image.slice(image.lastIndexOf('/') + 1)).join(',');

export const ageOf = (timestamp: string | undefined, now: number): string =>
  timestamp === undefined
    ? ''
    : formatDuration(Math.floor(Math.max(0, now - Date.parse(timestamp)) / 1000) * 1000).replace(
        /^0ms$/,
        '0s',
      );

/**
 * The share of requests each revision gets, in percent. While a run is promoted the stable leaf Service already points at
 * the new pods, so the weight goes back to 100/0 although every request stays with the new revision.
 */
export function sharesOf(status: Rollout['status']): { stable: number; canary: number } {
  if (status?.phase === 'Promoting' && status.canary) return { stable: 0, canary: 100 };
  return { stable: status?.traffic?.stable ?? 100, canary: status?.traffic?.canary ?? 0 };
}

export function stepText({ status }: Rollout): string {
  return status?.step ? `${Math.min(status.step.index + 1, status.step.of)}/${status.step.of}` : '';
}

/** The phase, and whether a person holds what is under way (`weir rollouts pause`). */
export function phaseText({ metadata, status }: Rollout): string {
  const phase = status?.phase ?? 'Initializing';
  const held = status?.canary !== undefined && phase !== 'Failed' && phase !== 'RollingBack';
  return held && metadata.annotations?.[annotations.paused] !== undefined ? `${phase}, paused` : phase;
}

/** One line per Rollout, as `weir rollouts list` prints it. */
export function rolloutTable(
  rollouts: Rollout[],
  now: number,
  stream: ColourTarget = process.stdout,
): string {
  return renderTable(
    [
      'NAMESPACE',
      'NAME',
      'STATUS',
      { title: 'WEIGHT', align: 'right' },
      'STEP',
      'CANARY',
      'STABLE',
      'AGE',
      'MESSAGE',
    ],
    rollouts.map((rollout) => {
      const { metadata, status } = rollout;
      const phase = status?.phase ?? 'Initializing';
      return [
        metadata.namespace,
        metadata.name,
        colour(phaseText(rollout), PHASE_STYLE[phase], stream),
        status?.traffic ? `${sharesOf(status).canary}%` : '',
        stepText(rollout),
        tagOf(status?.canary?.images),
        tagOf(status?.stable?.images),
        ageOf(metadata.creationTimestamp, now),
        status?.message,
      ];
    }),
    stream,
  );
}

/** A value in the unit a person reads: 99.85%, 123ms. */
export function formatValue(value: number | undefined, unit: string | undefined): string {
  if (value === undefined) return '';
  if (unit === 'ratio') return `${(value * 100).toFixed(2)}%`;
  if (unit === 'percent') return `${value.toFixed(2)}%`;
  if (unit === 'seconds') return value < 1 ? `${Math.round(value * 1000)}ms` : `${value.toFixed(2)}s`;
  if (unit === 'milliseconds') return `${Math.round(value)}ms`;
  return String(Math.round(value * 1000) / 1000);
}

const VERDICT_STYLE: Record<MetricStatus['verdict'], Style> = {
  pass: 'green',
  fail: 'red',
  hold: 'yellow',
  error: 'yellow',
};

export function metricTable(metrics: MetricStatus[], stream: ColourTarget = process.stdout): string {
  return renderTable(
    [
      'METRIC',
      'VERDICT',
      { title: 'CANARY', align: 'right' },
      { title: 'STABLE', align: 'right' },
      { title: 'LIMIT', align: 'right' },
      { title: 'REQUESTS', align: 'right' },
      'NOTE',
    ],
    metrics.map((metric) => [
      metric.name,
      colour(metric.verdict, VERDICT_STYLE[metric.verdict], stream),
      formatValue(metric.canary, metric.unit),
      formatValue(metric.stable, metric.unit),
      metric.threshold,
      metric.samples === undefined ? '' : Math.round(metric.samples),
      // "29ms, must be <= 1s" is what the columns beside it say already.
      /^\S+, must be [<>]=? \S+$/.test(metric.message ?? '') ? '' : metric.message,
    ]),
    // Less what a card is indented by.
    { isTTY: stream.isTTY, columns: (stream.columns || 80) - 3 },
  );
}

/** The whole picture of one Rollout: weights as bars, metrics, conditions that need a person, last decision. */
export function rolloutCard(
  rollout: Rollout,
  now: number,
  stream: ColourTarget = process.stdout,
  columns = Number.POSITIVE_INFINITY,
): string {
  const { metadata, status } = rollout;
  if (!status)
    return `${metadata.namespace}/${metadata.name}: the controller has not looked at it; is it running? (weir check)\n`;
  const lines: string[] = [];
  const said = new Set<string>();
  const put = (text: string, style?: Style) => {
    for (const line of wrap(text, columns - 2, 3))
      lines.push(style ? colour(`  ${line}`, style, stream) : `  ${line}`);
  };
  const step = stepText(rollout);
  lines.push(
    `${colour(`${metadata.namespace}/${metadata.name}`, 'bold', stream)}  ${colour(phaseText(rollout), PHASE_STYLE[status.phase], stream)}${step && status.canary ? `  step ${step}` : ''}`,
  );
  const weights = sharesOf(status);
  // With the hash, by which `weir stat --by-revision` and the metrics name it: images may be the same.
  const row = (name: string, style: Style, weight: number, { images, hash }: RevisionStatus) =>
    `  ${name.padEnd(7)}${colour(bar(weight / 100, 30), style, stream)} ${String(weight).padStart(3)}%  ${tagOf(images)}  ${colour(hash, 'dim', stream)}`;
  // Nothing is known of traffic before the Deployment was found.
  if (status.stable) lines.push(row('stable', 'blue', weights.stable, status.stable));
  if (status.canary) lines.push(row('canary', 'yellow', weights.canary, status.canary));
  const acknowledged = status.traffic?.acknowledged;
  if (status.canary && acknowledged)
    lines.push(
      colour(`  acknowledged by ${acknowledged.proxies} of ${acknowledged.of} proxies`, 'dim', stream),
    );
  if (status.analysis && status.analysis.metrics.length > 0 && status.canary) {
    lines.push(
      '',
      ...metricTable(status.analysis.metrics, stream)
        .trimEnd()
        .split('\n')
        .map((line) => `  ${line}`),
    );
  }
  for (const { type, status: truth, message } of status.conditions) {
    const loud =
      (type === 'Stalled' && truth === 'True') ||
      (type === 'Gated' && truth === 'False') ||
      (type === 'GateOpen' && truth === 'True') ||
      (type === 'NoMeshedCaller' && truth === 'True');
    if (!loud) continue;
    put(`! ${type}: ${message}`, 'yellow');
    said.add(message);
  }
  const last = status.history.at(-1);
  if (status.message && !said.has(status.message)) put(status.message);
  said.add(status.message ?? '');
  if (last)
    put(
      `${ageOf(last.at, now)} ago: ${last.from === last.to ? last.to : `${last.from} -> ${last.to}`}, ${last.reason}${last.by && !last.message.endsWith(` by ${last.by}`) ? ` by ${last.by}` : ''}${said.has(last.message) ? '' : `: ${last.message}`}`,
      'dim',
    );
  return `${lines.join('\n')}\n`;
}

export function historyTable(rollout: Rollout, stream: ColourTarget = process.stdout): string {
  return renderTable(
    ['AT', 'FROM', 'TO', 'REASON', 'BY', 'MESSAGE'],
    (rollout.status?.history ?? []).map(({ at, from, to, reason, by, message }) => [
      at.replace(/\.\d+Z$/, 'Z'),
      from,
      to,
      reason,
      by,
      message,
    ]),
    stream,
  );
}

/** Value, threshold, samples and query behind the last decision. */
export function whyText(rollout: Rollout, now: number, stream: ColourTarget = process.stdout): string {
  const lines = [rolloutCard(rollout, now, stream)];
  for (const { name, verdict, canary, stable, unit, threshold, samples, failures, query, message } of rollout
    .status?.analysis?.metrics ?? []) {
    lines.push(`${colour(name, 'bold', stream)}: ${verdict}`);
    if (canary !== undefined)
      lines.push(
        `  canary    ${formatValue(canary, unit)}${samples === undefined ? '' : ` over ${Math.round(samples)} requests`}`,
      );
    if (stable !== undefined) lines.push(`  stable    ${formatValue(stable, unit)}`);
    if (threshold) lines.push(`  limit     ${threshold}`);
    if (failures) lines.push(`  failed    ${failures} looks in a row`);
    if (message) lines.push(`  because   ${message}`);
    if (query) lines.push(`  query     ${query.trim().replaceAll('\n', '\n            ')}`);
  }
  const failed = rollout.status?.analysis?.failedRequests;
  if (failed !== undefined) lines.push(`failed user requests in this run: ${Math.round(failed)}`);
  return `${lines.join('\n')}\n`;
}
