import { expect, test } from '@jest/globals';
import pino from 'pino';
import { AppError } from '../../lib/errors.ts';
import { createLineLogger } from './log.ts';

/** What a logger writes, as the library's own does and as ours does. */
function both(use: (log: ReturnType<typeof createLineLogger>) => void, level = 'info') {
  const [theirs, ours]: string[][] = [[], []];
  const library = pino(
    {
      level,
      base: { component: 'proxy' },
      timestamp: () => ',"time":"2026-01-02T03:04:05.678Z"',
      serializers: { error: pino.stdSerializers.err },
    },
    { write: (line: string) => theirs!.push(line) },
  );
  use(library);
  const now = () => new Date('2026-01-02T03:04:05.678Z');
  use(createLineLogger({ component: 'proxy' }, { level, write: (line) => ours!.push(line), now }));
  return { theirs: theirs!, ours: ours! };
}

test('lines are those of the library', () => {
  const { theirs, ours } = both((log) => {
    log.info('draining');
    log.info({ ports: [80, 443], reason: 'said "so"\n', none: undefined, nothing: null }, 'proxying');
    log.debug('not this');
    log.warn({ error: 'a text' }, 'once');
    log.error({ wait: 1.5 });
    log.fatal({}, 'the proxy cannot run');
    log.child({ key: 'web' }).warn({ code: 'NotFound' }, 'the control plane reports');
  });
  expect(ours).toEqual(theirs);
  expect(ours).toHaveLength(6);
});

test('errors are told with their stack, their causes and what else they carry', () => {
  const cause = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', errno: -104 });
  const { theirs, ours } = both((log) => {
    log.error({ error: cause }, 'plain');
    log.error({ error: new AppError('Unavailable', 'cannot reach it', { cause }) }, 'caused');
  });
  const [plain, caused] = ours.map((line) => JSON.parse(line));
  expect(plain).toEqual(JSON.parse(theirs[0]!));
  const { type, message, code } = JSON.parse(theirs[1]!).error;
  expect(caused.error).toMatchObject({ type, message, code });
  expect(caused.error.message).toBe('cannot reach it: read ECONNRESET');
  expect(caused.error.stack).toContain('caused by: Error: read ECONNRESET');
});

test('levels: what is below is not written, what is none is info', () => {
  const use = (log: ReturnType<typeof createLineLogger>) => {
    log.debug('debug');
    log.warn('warn');
    log.fatal('fatal');
  };
  for (const level of ['trace', 'debug', 'info', 'error', 'fatal', 'silent']) {
    const { theirs, ours } = both(use, level);
    expect(ours).toEqual(theirs);
  }
  const lines: string[] = [];
  use(createLineLogger({}, { level: 'loud', write: (line) => lines.push(line) }));
  expect(lines).toHaveLength(2);
});

test('what refers to itself is told all the same', () => {
  const circle: Record<string, unknown> = {};
  circle.self = circle;
  const error = Object.assign(new Error('odd'), { circle });
  const lines: string[] = [];
  createLineLogger({}, { write: (line) => lines.push(line) }).error({ error, circle }, 'told');
  expect(JSON.parse(lines[0]!)).toMatchObject({ error: 'odd', circle: '[object Object]', msg: 'told' });
});
