export type LabelValues = Record<string, string>;

const escaped = (value: string) =>
  value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');

/** Labels as they stand behind a name: for series that are rendered once and read often. */
export function labelText(labels: LabelValues): string {
  const parts = Object.keys(labels)
    .sort()
    .map((name) => `${name}="${escaped(labels[name]!)}"`);
  return parts.length === 0 ? '' : `{${parts.join(',')}}`;
}

abstract class Metric {
  readonly name: string;
  readonly help: string;
  abstract readonly type: string;

  constructor(name: string, help: string) {
    this.name = name;
    this.help = help;
  }

  abstract lines(): string[];

  text(): string {
    return [`# HELP ${this.name} ${this.help}`, `# TYPE ${this.name} ${this.type}`, ...this.lines(), ''].join(
      '\n',
    );
  }
}

export class Counter extends Metric {
  readonly type = 'counter';
  readonly #values = new Map<string, number>();

  add(amount = 1, labels: LabelValues = {}): void {
    const key = labelText(labels);
    this.#values.set(key, (this.#values.get(key) ?? 0) + amount);
  }

  lines(): string[] {
    return [...this.#values]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([labels, value]) => `${this.name}${labels} ${value}`);
  }
}

export class Histogram extends Metric {
  readonly type = 'histogram';
  readonly #bounds: number[];
  readonly #series = new Map<string, { labels: LabelValues; counts: number[]; sum: number }>();

  constructor(name: string, help: string, bounds: number[]) {
    super(name, help);
    this.#bounds = bounds;
  }

  observe(value: number, labels: LabelValues = {}): void {
    const key = labelText(labels);
    let series = this.#series.get(key);
    if (!series) {
      series = { labels, counts: new Array<number>(this.#bounds.length + 1).fill(0), sum: 0 };
      this.#series.set(key, series);
    }
    const index = this.#bounds.findIndex((bound) => value <= bound);
    series.counts[index < 0 ? this.#bounds.length : index]! += 1;
    series.sum += value;
  }

  lines(): string[] {
    const lines: string[] = [];
    for (const { labels, counts, sum } of this.#series.values()) {
      let total = 0;
      counts.forEach((count, index) => {
        total += count;
        const le = index < this.#bounds.length ? String(this.#bounds[index]) : '+Inf';
        lines.push(`${this.name}_bucket${labelText({ ...labels, le })} ${total}`);
      });
      lines.push(
        `${this.name}_sum${labelText(labels)} ${sum}`,
        `${this.name}_count${labelText(labels)} ${total}`,
      );
    }
    return lines;
  }
}

/** Series as they are where they are kept: a label text (`labelText`) and a value for each. */
export type Reading = () => Iterable<readonly [labels: string, value: number]>;

/** Numbers that somebody else keeps, read at each scrape. */
class Readout extends Metric {
  readonly type: 'counter' | 'gauge';
  readonly #read: Reading;

  constructor(type: 'counter' | 'gauge', name: string, help: string, read: Reading) {
    super(name, help);
    this.type = type;
    this.#read = read;
  }

  lines(): string[] {
    const lines: string[] = [];
    for (const [labels, value] of this.#read()) lines.push(`${this.name}${labels} ${value}`);
    return lines;
  }
}

/** One family in the text format, from series as they are where they are kept. */
export const gaugeText = (name: string, help: string, read: Reading): string =>
  new Readout('gauge', name, help, read).text();

/** A process's own metrics in the Prometheus text format (0.0.4). */
export class MetricsRegistry {
  readonly #metrics: { text(): string | Buffer }[] = [];

  counter(name: string, help: string): Counter {
    return this.#add(new Counter(name, help));
  }

  /** A number read at each scrape; undefined: not known yet. */
  gauge(name: string, help: string, read: () => number | undefined): void {
    this.readout('gauge', name, help, single(read));
  }

  /** A count that somebody else keeps, read at each scrape. */
  count(name: string, help: string, read: () => number | undefined): void {
    this.readout('counter', name, help, single(read));
  }

  readout(type: 'counter' | 'gauge', name: string, help: string, read: Reading): void {
    this.#add(new Readout(type, name, help, read));
  }

  /** Families that somebody else renders, and may keep as they are sent (`gaugeText`): a scrape of thousands of series that did not change. */
  rendered(text: () => Buffer): void {
    this.#metrics.push({ text });
  }

  histogram(name: string, help: string, bounds: number[]): Histogram {
    return this.#add(new Histogram(name, help, bounds));
  }

  text(): string {
    return this.parts().join('');
  }

  /** All of it, one part after the other; what is kept rendered is not encoded again. */
  parts(): (string | Buffer)[] {
    return this.#metrics.map((metric) => metric.text());
  }

  #add<T extends Metric>(metric: T): T {
    this.#metrics.push(metric);
    return metric;
  }
}

const single = (read: () => number | undefined): Reading =>
  function* () {
    const value = read();
    if (value !== undefined) yield ['', value];
  };
