export type LabelValues = Record<string, string>;

const escaped = (value: string) =>
  value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');

function labelText(labels: LabelValues): string {
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
  readonly type: string = 'counter';
  protected readonly values = new Map<string, number>();

  add(amount = 1, labels: LabelValues = {}): void {
    const key = labelText(labels);
    this.values.set(key, (this.values.get(key) ?? 0) + amount);
  }

  lines(): string[] {
    return [...this.values]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([labels, value]) => `${this.name}${labels} ${value}`);
  }
}

export class Gauge extends Counter {
  override readonly type: string = 'gauge';

  set(value: number, labels: LabelValues = {}): void {
    this.values.set(labelText(labels), value);
  }

  /** Forgets every series, for gauges that are rebuilt at each scrape. */
  clear(): void {
    this.values.clear();
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

/** A process's own metrics in the Prometheus text format (0.0.4). */
export class MetricsRegistry {
  readonly #metrics: Metric[] = [];
  readonly #collectors: (() => void)[] = [];

  counter(name: string, help: string): Counter {
    return this.#add(new Counter(name, help));
  }

  gauge(name: string, help: string): Gauge {
    return this.#add(new Gauge(name, help));
  }

  histogram(name: string, help: string, bounds: number[]): Histogram {
    return this.#add(new Histogram(name, help, bounds));
  }

  /** Called before each scrape, to bring gauges up to date. */
  onCollect(collector: () => void): void {
    this.#collectors.push(collector);
  }

  text(): string {
    for (const collect of this.#collectors) collect();
    return this.#metrics.map((metric) => metric.text()).join('');
  }

  #add<T extends Metric>(metric: T): T {
    this.#metrics.push(metric);
    return metric;
  }
}
