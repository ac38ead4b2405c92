/** Weighted pick. `cumulative[i]` is the sum of the weights up to and including i; a weight of 0 is never picked. */
export function cumulate(weights: readonly number[]): Float64Array {
  const cumulative = new Float64Array(weights.length);
  let sum = 0;
  for (let i = 0; i < weights.length; i += 1) {
    sum += Math.max(0, weights[i]!);
    cumulative[i] = sum;
  }
  return cumulative;
}

/** Index for a random number in [0, 1), or -1 when every weight is 0. */
export function pickWeighted(cumulative: Float64Array, random: number): number {
  const { length } = cumulative;
  const total = length === 0 ? 0 : cumulative[length - 1]!;
  if (total <= 0) return -1;
  const point = random * total;
  for (let i = 0; i < length; i += 1) if (point < cumulative[i]!) return i;
  // Only rounding can lead here: the last one that has a weight.
  for (let i = length - 1; i > 0; i -= 1) if (cumulative[i]! > cumulative[i - 1]!) return i;
  return 0;
}

/** xoshiro128**: fast, seedable, good enough to spread load; not for secrets. */
export function seededRandom(seed: number): () => number {
  let a = seed | 0 || 0x9e3779b9;
  let b = 0x243f6a88 ^ a;
  let c = 0xb7e15162 + a;
  let d = 0xdeadbeef;
  const next = () => {
    const t = b << 9;
    let r = Math.imul(a, 5);
    r = Math.imul((r << 7) | (r >>> 25), 9);
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = (d << 11) | (d >>> 21);
    return (r >>> 0) / 4_294_967_296;
  };
  for (let i = 0; i < 16; i += 1) next();
  return next;
}
