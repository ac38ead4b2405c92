/**
 * Says why something is not tested here. With WEIR_CI=1, which `.ci/run` sets, it throws instead: what was not tried must
 * not look like what passed.
 */
export function skipped(why: string): void {
  if (process.env.WEIR_CI === '1') throw new Error(`with WEIR_CI=1 nothing is skipped, but ${why}`);
  process.stderr.write(`skipped: ${why}\n`);
}
