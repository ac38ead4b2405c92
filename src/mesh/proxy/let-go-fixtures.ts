/** Whether what is over is let go of, for tests. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from '@jest/globals';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Nothing else holds any of these, within ten seconds: what was armed for them would have come up minutes later. */
export async function forgotten(refs: readonly WeakRef<object>[]): Promise<void> {
  const left = () => {
    collect();
    return refs.filter((each) => each.deref() !== undefined).length;
  };
  const deadline = Date.now() + 10_000;
  while (left() > 0 && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50));
  expect(left()).toBe(0);
}
