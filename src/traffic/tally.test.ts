import { describe, expect, test } from '@jest/globals';
import type { AcknowledgementFrame } from '../api/acknowledgement.ts';
import { type Report, tally } from './tally.ts';

const frame = (more: Partial<AcknowledgementFrame> = {}): AcknowledgementFrame => ({
  type: 'acknowledgement',
  key: 'web.shop:80',
  split: 'shop/web',
  version: '7',
  subscribed: 2,
  acknowledged: 2,
  settled: true,
  ...more,
});
const replica = (frames: AcknowledgementFrame[], address = '10.0.0.1:8443', live = true): Report => ({
  address,
  live,
  frames,
});
const of = (reports: Report[] | undefined, expected?: number) => tally('shop/web', '7', reports, expected);

describe('a version is acknowledged', () => {
  test('by every proxy of every replica', () => {
    const two = replica([frame({ subscribed: 1, acknowledged: 1 })], '10.0.0.2:8443');
    expect(of([replica([frame()]), two])).toEqual({ done: true, proxies: 3, of: 3 });
  });

  test('by nobody, where every replica says that nobody follows it', () => {
    const nobody = frame({ subscribed: 0, acknowledged: 0 });
    expect(of([replica([nobody])])).toEqual({ done: true, proxies: 0, of: 0 });
  });
});

describe('a version is not acknowledged', () => {
  test.each<[string, Report[] | undefined, RegExp]>([
    ['the replicas are not known yet', undefined, /no replica of weir mesh is ready/],
    ['there is no replica', [], /no replica of weir mesh is ready/],
    [
      'a replica does not answer',
      [replica([frame()]), replica([frame()], '10.0.0.2:8443', false)],
      /10\.0\.0\.2:8443 does not answer/,
    ],
    [
      'a live replica is silent about the split',
      [replica([frame()]), replica([], '10.0.0.2:8443')],
      /10\.0\.0\.2:8443 has not seen TrafficSplit shop\/web/,
    ],
    [
      'a replica speaks of an older version',
      [replica([frame({ version: '6' })])],
      /has not seen its last change/,
    ],
    [
      'an older version that nobody follows',
      [replica([frame({ version: '6', subscribed: 0, acknowledged: 0 })])],
      /has not seen its last change/,
    ],
    [
      'one port of the Service lags',
      [replica([frame(), frame({ key: 'web.shop:81', version: '6' })])],
      /has not seen its last change/,
    ],
    [
      'a replica has just started',
      [replica([frame({ settled: false, subscribed: 0, acknowledged: 0 })])],
      /has just started/,
    ],
  ])('%s', (_name, reports, why) => {
    expect(of(reports)).toMatchObject({ done: false, why: expect.stringMatching(why) });
  });

  test('a proxy has not answered: the counts tell', () => {
    expect(of([replica([frame({ acknowledged: 1 })])])).toEqual({ done: false, proxies: 1, of: 2 });
  });

  test('the proxies of a replica that went away are with no other one yet', () => {
    expect(of([replica([frame()])], 3)).toMatchObject({
      done: false,
      why: expect.stringContaining('1 of the proxies'),
    });
    expect(of([replica([frame({ subscribed: 3, acknowledged: 3 })])], 3).done).toBe(true);
  });
});
