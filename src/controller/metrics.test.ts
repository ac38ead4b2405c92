import { expect, test } from '@jest/globals';
import { labelText, MetricsRegistry } from './metrics.ts';

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_]\w*)="((?:\\.|[^"\\])*)"(?:,|$)/g;
const unescaped = (value: string) =>
  value.replace(/\\(.)/g, (_all, char: string) => (char === 'n' ? '\n' : char));

/** Reads the text format as its specification has it: the tests of the store cannot be imported from this layer. */
function parsed(text: string): { name: string; labels: Record<string, string>; value: number }[] {
  expect(text.endsWith('\n')).toBe(true);
  return text
    .slice(0, -1)
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .map((line) => {
      const [, name, labels = '', value] = SAMPLE.exec(line) ?? [];
      expect(name).toBeDefined();
      return {
        name: name!,
        labels: Object.fromEntries([...labels.matchAll(LABEL)].map(([, key, raw]) => [key, unescaped(raw!)])),
        value: Number(value),
      };
    });
}

test('what is exposed reads back as what was counted', () => {
  const registry = new MetricsRegistry();
  const counter = registry.counter('weir_runs_total', 'Runs.');
  counter.add(1, { rollout: 'a "b"\\\n{c}' });
  counter.add(2, { rollout: 'a "b"\\\n{c}' });
  let leading: number | undefined = 1;
  registry.gauge('weir_leader', 'One in the leader.', () => leading);
  registry.readout('counter', 'weir_looks_total', 'Looks.', () => [[labelText({ rollout: '"' }), 4]]);
  const histogram = registry.histogram('weir_seconds', 'Time.', [0.1, 1]);
  for (const value of [0.05, 0.1, 0.5, 7]) histogram.observe(value, { controller: 'rollout' });
  const text = registry.text();
  for (const [name, type] of [
    ['weir_runs_total', 'counter'],
    ['weir_leader', 'gauge'],
    ['weir_seconds', 'histogram'],
  ])
    expect(text).toContain(`# TYPE ${name} ${type}\n`);
  const controller = 'rollout';
  expect(parsed(text)).toEqual([
    { name: 'weir_runs_total', labels: { rollout: 'a "b"\\\n{c}' }, value: 3 },
    { name: 'weir_leader', labels: {}, value: 1 },
    { name: 'weir_looks_total', labels: { rollout: '"' }, value: 4 },
    { name: 'weir_seconds_bucket', labels: { controller, le: '0.1' }, value: 2 },
    { name: 'weir_seconds_bucket', labels: { controller, le: '1' }, value: 3 },
    { name: 'weir_seconds_bucket', labels: { controller, le: '+Inf' }, value: 4 },
    { name: 'weir_seconds_sum', labels: { controller }, value: 7.65 },
    { name: 'weir_seconds_count', labels: { controller }, value: 4 },
  ]);
  leading = undefined;
  expect(parsed(registry.text()).some(({ name }) => name === 'weir_leader')).toBe(false);
  counter.add(1, { rollout: 'z' });
  expect(parsed(registry.text()).filter(({ name }) => name === 'weir_runs_total').length).toBe(2);
});
