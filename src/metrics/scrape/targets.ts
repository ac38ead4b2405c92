import { type Labels, labelsOf } from '../labels.ts';
import type { ScrapeConfig } from './config.ts';
import { compileRules, relabel } from './relabel.ts';

/** Something to scrape. `id` is equal exactly when URL and labels are. */
export interface Target {
  id: string;
  job: string;
  url: string;
  /** Labels every sample gets. */
  labels: Labels;
  /** Before relabelling, for the targets page. */
  discovered: Record<string, string>;
  interval: number;
  timeout: number;
  config: ScrapeConfig;
}

/** The raw labels of each target as discovery found it (`__address__` and `__meta_…`). */
export type Discovered = Record<string, string>;

export function staticTargets(config: ScrapeConfig): Discovered[] {
  return config.static_configs.flatMap(({ targets, labels }) =>
    targets.map((address) => ({ ...labels, __address__: address })),
  );
}

export type ResolveTargets = (found: readonly Discovered[]) => Target[];

/** Applies a scrape configuration to what was discovered; relabelling may drop a target (not returned). */
export function targetResolver(config: ScrapeConfig): ResolveTargets {
  const rules = compileRules(config.relabel_configs);
  return (found) => {
    const targets = new Map<string, Target>();
    for (const discovered of found) {
      const target = resolve(config, discovered, rules);
      if (target) targets.set(target.id, target);
    }
    return [...targets.values()];
  };
}

function resolve(
  config: ScrapeConfig,
  discovered: Discovered,
  rules: ReturnType<typeof compileRules>,
): Target | undefined {
  const defaults = {
    job: config.job_name,
    __scheme__: config.scheme,
    __metrics_path__: config.metrics_path,
    ...Object.fromEntries(
      Object.entries(config.params).map(([key, values]) => [`__param_${key}`, values[0] ?? '']),
    ),
  };
  const raw = new Map(Object.entries({ ...defaults, ...discovered }).filter(([, value]) => value !== ''));
  const labels = relabel(raw, rules);
  const address = labels?.get('__address__');
  if (!labels || !address) return undefined;
  const scheme = labels.get('__scheme__') ?? 'http';
  const host = withPort(address, scheme);
  const parameters = new URLSearchParams();
  for (const [key, values] of Object.entries(config.params))
    for (const value of values.slice(1)) parameters.append(key, value);
  for (const [name, value] of labels)
    if (name.startsWith('__param_')) parameters.append(name.slice('__param_'.length), value);
  const path = labels.get('__metrics_path__') ?? '/metrics';
  const query = parameters.size > 0 ? `${path.includes('?') ? '&' : '?'}${parameters}` : '';
  const url = `${scheme}://${host}${path.startsWith('/') ? '' : '/'}${path}${query}`;
  if (!URL.canParse(url)) return undefined;
  if (!labels.has('instance')) labels.set('instance', host);
  const kept = labelsOf([...labels].filter(([name]) => !name.startsWith('__')));
  return {
    id: [url, ...kept].join('\u{10FFFF}'),
    job: config.job_name,
    url,
    labels: kept,
    discovered: Object.fromEntries(raw),
    interval: config.scrape_interval,
    timeout: config.scrape_timeout,
    config,
  };
}

function withPort(address: string, scheme: string): string {
  if (/^\[[^\]]*\]:\d+$|^[^:]+:\d+$/.test(address)) return address;
  const bare = address.includes(':') && !address.startsWith('[') ? `[${address}]` : address;
  return `${bare}:${scheme === 'https' ? 443 : 80}`;
}
