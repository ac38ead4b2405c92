/** Looks again and again, without a pause of its own, until it is so. For tests. */
export async function until(condition: () => boolean, seconds = 30): Promise<void> {
  const deadline = performance.now() + seconds * 1000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${seconds} s: ${condition}`);
    await new Promise(setImmediate);
  }
}
