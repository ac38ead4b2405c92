import { describe, expect, test } from '@jest/globals';
import { approves } from './plan.ts';
import type { Run } from './types.ts';

const HEX = '0123456789abcdef'.repeat(4);
const run = { digest: HEX, images: ['registry:5000/shop/app:v2', `db@sha256:${'ab'.repeat(32)}`] } as Run;

describe('spec.approve', () => {
  test.each(['v2', 'registry:5000/shop/app:v2', '012345', 'sha256:012345', 'ababab', 'sha256:ababab'])(
    '%s approves',
    (approve) => expect(approves(approve, run)).toBe(true),
  );
  test.each(['', 'v1', 'sha256', 'sha256:', 'sha256:0', '01234', 'sha256:abab', '5000/shop/app'])(
    '%j approves nothing',
    (approve) => expect(approves(approve, run)).toBe(false),
  );
});
