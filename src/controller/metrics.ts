import { AppError } from '../lib/errors.ts';

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  labels?: Labels;
  value: number;
}

export interface Counter {
  inc(labels?: Labels, by?: number): void;
}

export interface Gauge {
  set(value: number, labels?: Labels): void;
}

export interface Histogram {
  observe(value: number, labels?: Labels): void;
}

/** Seconds, as Prometheus' own clients divide them. */
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

interface Family {
  type: 'counter' | 'gauge' | 'histogram';
  help: string;
  api: Counter | Gauge | Histogram;
  /** Lines of the exposition: suffix of the name, labels, value. */
  samples(): { suffix: string; labels: Labels; value: number }[];
}

/** Metrics of one process and their text exposition (format 0.0.4). Asking for a known name gives the known metric. */
export class MetricsRegistry {
  readonly #families = new Map<string, Family>();

  counter(name: string, help: string): Counter {
    return this.#family(name, 'counter', () => {
      const values = new Values();
      return {
        type: 'counter',
        help,
        api: { inc: (labels = {}, by = 1) => values.add(labels, by) },
        samples: () => values.samples(),
      };
    }).api as Counter;
  }

  /** A gauge that is set, or one that is read when it is asked for; several sources of one name add up to one family. */
  gauge(name: string, help: string, read?: () => readonly Sample[]): Gauge {
    const sources: (() => readonly Sample[])[] = [];
    const family = this.#family(name, 'gauge', () => {
      const values = new Values();
      return {
        type: 'gauge',
        help,
        api: Object.assign(
          { set: (value: number, labels: Labels = {}) => values.put(labels, value) },
          { sources },
        ),
        samples: () => [
          ...values.samples(),
          ...(sources.length === 0 ? [] : sources.flatMap((source) => source())).map(
            ({ labels = {}, value }) => ({
              suffix: '',
              labels,
              value,
            }),
          ),
        ],
      };
    });
    if (read) (family.api as Gauge & { sources: typeof sources }).sources.push(read);
    return family.api as Gauge;
  }

  histogram(name: string, help: string, bounds: readonly number[] = SECONDS): Histogram {
    return this.#family(name, 'histogram', () => {
      const series = new Map<string, { labels: Labels; counts: number[]; sum: number; count: number }>();
      return {
        type: 'histogram',
        help,
        api: {
          observe: (value, labels = {}) => {
            const key = labelText(labels);
            let one = series.get(key);
            if (!one) {
              one = { labels, counts: bounds.map(() => 0), sum: 0, count: 0 };
              series.set(key, one);
            }
            one.sum += value;
            one.count += 1;
            for (const [index, bound] of bounds.entries()) if (value <= bound) one.counts[index]! += 1;
          },
        },
        samples: () =>
          [...series.values()].flatMap(({ labels, counts, sum, count }) => [
            ...bounds.map((bound, index) => ({
              suffix: '_bucket',
              labels: { ...labels, le: String(bound) },
              value: counts[index]!,
            })),
            { suffix: '_bucket', labels: { ...labels, le: '+Inf' }, value: count },
            { suffix: '_sum', labels, value: sum },
            { suffix: '_count', labels, value: count },
          ]),
      };
    }).api as Histogram;
  }

  /** The text exposition, families by name. */
  text(): string {
    const lines: string[] = [];
    for (const [name, family] of [...this.#families].sort(([a], [b]) => (a < b ? -1 : 1))) {
      lines.push(`# HELP ${name} ${family.help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}`);
      lines.push(`# TYPE ${name} ${family.type}`);
      for (const { suffix, labels, value } of family.samples())
        lines.push(`${name}${suffix}${labelText(labels)} ${numberText(value)}`);
    }
    return `${lines.join('\n')}\n`;
  }

  #family(name: string, type: Family['type'], make: () => Family): Family {
    const known = this.#families.get(name);
    if (known && known.type !== type)
      throw new AppError(
        'Invalid',
        `metric ${name} is a ${known.type} already; give this ${type} another name`,
      );
    const family = known ?? make();
    this.#families.set(name, family);
    return family;
  }
}

class Values {
  readonly #series = new Map<string, { labels: Labels; value: number }>();

  add(labels: Labels, by: number): void {
    this.put(labels, (this.#series.get(labelText(labels))?.value ?? 0) + by);
  }

  put(labels: Labels, value: number): void {
    this.#series.set(labelText(labels), { labels, value });
  }

  samples(): { suffix: string; labels: Labels; value: number }[] {
    return Array.from(this.#series.values(), (series) => ({ suffix: '', ...series }));
  }
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(
      ([name, value]) =>
        `${name}="${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`,
    );
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  return value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value);
}
