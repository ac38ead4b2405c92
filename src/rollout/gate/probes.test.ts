import { expect, test } from '@jest/globals';
import { GateProbes, type GateTarget } from './probes.ts';

const signal = new AbortController().signal;
const target = (deployment: string, version: string | undefined = 'v1'): GateTarget => ({
  namespace: 'shop',
  deployment,
  version,
});

/** Probes whose answers are given by hand; `tried` says of which Deployment how many tries in a row were asked for. */
function byHand() {
  const tried: string[] = [];
  const answers: ((holds: boolean) => void)[] = [];
  const done: string[] = [];
  const probes = new GateProbes({
    probe: ({ deployment }, tries) => {
      tried.push(`${deployment} ${tries}`);
      return new Promise((resolve) => {
        answers.push((holds) => resolve({ at: 0, holds, message: '' }));
      });
    },
    done: (key) => done.push(key),
  });
  const answer = async (holds: boolean) => {
    answers.shift()!(holds);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { probes, tried, answer, answers, done };
}

test('what was named before three tries that held is tried once', async () => {
  const { probes, tried, answer } = byHand();
  for (const name of ['a', 'b']) probes.named(name);
  probes.start('a', target('a'), signal);
  await answer(true);
  probes.start('b', target('b'), signal);
  await answer(true);
  probes.named('c');
  probes.start('c', target('c'), signal);
  await answer(true);
  expect(tried).toEqual(['a 3', 'b 1', 'c 3']);
});

test('a name written while three tries are under way is not covered by them', async () => {
  const { probes, tried, answer } = byHand();
  probes.start('a', target('a'), signal);
  probes.named('b');
  await answer(true);
  probes.start('b', target('b'), signal);
  await answer(true);
  expect(tried).toEqual(['a 3', 'b 3']);
});

test('another gate, one that cannot be watched, and one that failed are tried three times again', async () => {
  const { probes, tried, answer } = byHand();
  const one = async (name: string, version: string | undefined, holds = true) => {
    probes.start(name, { ...target(name), version }, signal);
    await answer(holds);
  };
  await one('a', 'v1');
  await one('b', 'v2');
  await one('c', undefined);
  await one('d', undefined);
  await one('e', 'v2', false);
  await one('f', 'v2');
  expect(tried).toEqual(['a 3', 'b 3', 'c 3', 'd 3', 'e 1', 'f 3']);
  expect(probes.last('e')).toMatchObject({ holds: false, failures: 1, version: 'v2' });
  await one('e', 'v2', false);
  expect(probes.last('e')).toMatchObject({ failures: 2 });
});

test('a few at a time, each once, and none for a Rollout that is gone', async () => {
  const { probes, tried, answer, answers, done } = byHand();
  for (let index = 0; index < 20; index += 1) {
    probes.start(`r${index}`, target(`r${index}`), signal);
    probes.start(`r${index}`, target(`r${index}`), signal);
  }
  expect(tried).toEqual(['r0 3']);
  await answer(true);
  expect(tried).toHaveLength(1 + 8);
  probes.forget('r19');
  while (answers.length > 0) await answer(true);
  expect(tried).toHaveLength(19);
  expect(tried.slice(1).every((each) => each.endsWith(' 1'))).toBe(true);
  expect(new Set(done).size).toBe(19);
});

test('nobody waits for three tries where they do not hold, cannot tell of others, or are of another namespace', async () => {
  const { probes, tried, answer } = byHand();
  const start = (name: string, more: Partial<GateTarget> = {}) =>
    probes.start(name, { ...target(name), ...more }, signal);
  for (const name of ['a', 'b', 'c']) start(name);
  start('d', { namespace: 'other' });
  start('e', { version: undefined });
  expect(tried).toEqual(['a 3', 'd 3', 'e 3']);
  await answer(false);
  expect(tried.slice(3)).toEqual(['b 3', 'c 3']);
});

test('who waits for the tries of a Rollout that is forgotten goes on', () => {
  const { probes, tried } = byHand();
  probes.start('a', target('a'), signal);
  probes.start('b', target('b'), signal);
  probes.forget('a');
  probes.start('c', target('c'), signal);
  expect(tried).toEqual(['a 3', 'b 3']);
});

test('nothing is learnt or told after the end', async () => {
  const { probes, answer, done } = byHand();
  const stop = new AbortController();
  probes.start('a', target('a'), stop.signal);
  stop.abort();
  await answer(true);
  expect(done).toEqual([]);
  expect(probes.last('a')).toBeUndefined();
});

test('what is learnt of a Rollout that was forgotten meanwhile is not believed of the next one of its name', async () => {
  const { probes, tried, answer, done } = byHand();
  probes.start('a', target('old'), signal);
  probes.forget('a');
  probes.start('a', target('new'), signal);
  expect(tried).toEqual(['old 3', 'new 3']);
  await answer(true);
  expect(probes.last('a')).toBeUndefined();
  expect(done).toEqual([]);
  await answer(false);
  expect(probes.last('a')).toMatchObject({ holds: false, failures: 1 });
  expect(done).toEqual(['a']);
});

test('a term that begins while tries of the one before hang asks afresh', async () => {
  const { probes, tried, answers, done } = byHand();
  const before = new AbortController();
  probes.start('a', target('a'), before.signal);
  before.abort();
  probes.clear();
  probes.start('a', target('a'), signal);
  expect(tried).toEqual(['a 3', 'a 3']);
  for (const give of [1, 0]) {
    answers.splice(give, 1)[0]!(give === 1);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(done).toEqual(['a']);
  expect(probes.last('a')).toMatchObject({ holds: true });
});

test('who waits while the gate changes is tried of the gate as it is then', async () => {
  const { probes, answer, answers } = byHand();
  for (let index = 0; index < 9; index += 1) probes.start(`r${index}`, target(`r${index}`), signal);
  probes.start('r8', target('r8', 'v2'), signal);
  while (answers.length > 0) await answer(true);
  expect(probes.last('r8')).toMatchObject({ version: 'v2' });
});
