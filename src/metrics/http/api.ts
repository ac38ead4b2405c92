import type { Clock } from '../../lib/clock.ts';
import { compareLabels, toRecord } from '../labels.ts';
import { createMatcher, type Matcher } from '../matcher.ts';
import type { Expression } from '../promql/ast.ts';
import { QueryError } from '../promql/errors.ts';
import { evaluateInstant, evaluateRange } from '../promql/evaluate.ts';
import { DEFAULT_ENGINE, type EngineOptions } from '../promql/options.ts';
import { parseQuery, parseSelector } from '../promql/parse.ts';
import type { MetricsConfig } from '../scrape/config.ts';
import type { ScrapeLoop } from '../scrape/loop.ts';
import type { MetricStore } from '../storage/store.ts';
import { badParameter, formatResult, parseStep, parseTime } from './format.ts';

/** Points per series one range query may answer, as in Prometheus. */
const MAX_POINTS = 11_000;
/** Milliseconds one query may take. */
const TIMEOUT = 30_000;

export interface ApiContext {
  store: MetricStore;
  clock: Clock;
  version: string;
  config(): MetricsConfig;
  loops(): ScrapeLoop[];
}

/** `data` of a successful answer; failures are thrown. undefined: no such path. */
export function answer(context: ApiContext, path: string, parameters: URLSearchParams): unknown {
  const label = /^\/label\/([^/]+)\/values$/.exec(path)?.[1];
  if (label !== undefined) return labelValues(context, decodeURIComponent(label), parameters);
  switch (path) {
    case '/query':
      return query(context, parameters);
    case '/query_range':
      return queryRange(context, parameters);
    case '/series':
      return series(context, parameters);
    case '/labels':
      return collect(context, parameters, (matchers, from, to) =>
        context.store.labelNames(matchers, from, to),
      );
    case '/metadata':
      return {};
    case '/rules':
    case '/alerts':
      return path === '/rules' ? { groups: [] } : { alerts: [] };
    case '/query_exemplars':
      return [];
    case '/targets':
      return targets(context);
    case '/status/buildinfo':
      return {
        version: context.version,
        revision: '',
        branch: '',
        buildUser: '',
        buildDate: '',
        goVersion: '',
      };
    case '/status/flags':
    case '/status/config':
      return path === '/status/flags' ? {} : { yaml: '' };
    case '/status/tsdb': {
      const { series: count, samples, bytes } = context.store.stats();
      return { headStats: { numSeries: count, chunkCount: 0, samples, bytes } };
    }
    default:
      return undefined;
  }
}

function parsed(parameters: URLSearchParams): Expression {
  try {
    return parseQuery(parameters.get('query') ?? '');
  } catch (thrown) {
    throw thrown instanceof QueryError ? badParameter('query', thrown.message) : thrown;
  }
}

function engine({ config }: ApiContext, parameters: URLSearchParams): EngineOptions {
  const asked = parameters.get('timeout');
  const timeout = Math.min(TIMEOUT, asked ? parseStep('timeout', asked) : TIMEOUT);
  const deadline = performance.now() + timeout;
  const lookback = parameters.get('lookback_delta');
  return {
    ...DEFAULT_ENGINE,
    defaultStep: config().evaluationInterval,
    ...(lookback ? { lookback: parseStep('lookback_delta', lookback) } : {}),
    checkpoint: () => {
      if (performance.now() > deadline)
        throw new QueryError('timeout', 'query timed out in expression evaluation: ask for less time');
    },
  };
}

function query(context: ApiContext, parameters: URLSearchParams): unknown {
  const time = parseTime('time', parameters.get('time'), context.clock.now());
  const options = engine(context, parameters);
  return formatResult(evaluateInstant(parsed(parameters), time, context.store, options));
}

function queryRange(context: ApiContext, parameters: URLSearchParams): unknown {
  const start = parseTime('start', parameters.get('start'));
  const end = parseTime('end', parameters.get('end'));
  if (end < start) throw badParameter('end', 'end timestamp must not be before start time');
  const step = parseStep('step', parameters.get('step'));
  if (step <= 0)
    throw badParameter(
      'step',
      'zero or negative query resolution step widths are not accepted. Try a positive integer',
    );
  if ((end - start) / step > MAX_POINTS) {
    throw new QueryError(
      'bad_data',
      'exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)',
    );
  }
  const options = engine(context, parameters);
  const expression = parsed(parameters);
  return formatResult(evaluateRange(expression, { start, end, step }, context.store, options));
}

type Range = [from: number, to: number];

function range(parameters: URLSearchParams): Range {
  const from = parseTime('start', parameters.get('start'), Number.NEGATIVE_INFINITY);
  const to = parseTime('end', parameters.get('end'), Number.POSITIVE_INFINITY);
  return [from, to];
}

function selectors(parameters: URLSearchParams): Matcher[][] {
  return parameters.getAll('match[]').map((text) => {
    try {
      return parseSelector(text);
    } catch (thrown) {
      throw thrown instanceof QueryError ? badParameter('match[]', thrown.message) : thrown;
    }
  });
}

function series({ store }: ApiContext, parameters: URLSearchParams): unknown {
  const sets = selectors(parameters);
  if (sets.length === 0) throw new QueryError('bad_data', 'no match[] parameter provided');
  const [from, to] = range(parameters);
  const found = new Set(sets.flatMap((matchers) => [...store.find(matchers, from, to)]));
  return [...found]
    .map(({ labels }) => labels)
    .sort(compareLabels)
    .map(toRecord);
}

/** The union over all selectors, sorted. */
function collect(
  _context: ApiContext,
  parameters: URLSearchParams,
  read: (matchers: Matcher[], from: number, to: number) => string[],
): string[] {
  const [from, to] = range(parameters);
  const sets = selectors(parameters);
  return [...new Set((sets.length > 0 ? sets : [[]]).flatMap((matchers) => read(matchers, from, to)))].sort();
}

function labelValues(context: ApiContext, name: string, parameters: URLSearchParams): string[] {
  if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name))
    throw new QueryError('bad_data', `invalid label name: "${name}"`);
  return collect(context, parameters, (matchers, from, to) =>
    context.store.labelValues(name, [...matchers, createMatcher(name, '!=', '')], from, to),
  );
}

function targets({ loops }: ApiContext): unknown {
  const activeTargets = loops()
    .map(({ target, status }) => ({
      discoveredLabels: target.discovered,
      labels: toRecord(target.labels),
      scrapePool: target.job,
      scrapeUrl: target.url,
      globalUrl: target.url,
      lastError: status.lastError,
      lastScrape: new Date(status.lastScrape).toISOString(),
      lastScrapeDuration: status.lastDuration,
      health: status.health,
      scrapeInterval: `${target.interval}ms`,
      scrapeTimeout: `${target.timeout}ms`,
    }))
    .sort((a, b) => (a.scrapeUrl < b.scrapeUrl ? -1 : 1));
  return { activeTargets, droppedTargets: [] };
}
