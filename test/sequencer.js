/** The files that take a minute or more, the longest first. */
const LONG = ['faults', 'kills', 'gate', 'canary'].map((name) => `/test/e2e/${name}.test.ts`);

/** Starts the end-to-end files first, the longest before all: none of them must be what everything waits for at the end. */
export default class EndToEndFirst {
  sort(tests) {
    const rank = ({ path }) => {
      const long = LONG.findIndex((end) => path.endsWith(end));
      if (long >= 0) return long;
      return path.includes('/test/e2e/') ? LONG.length : LONG.length + 1;
    };
    return [...tests].sort((a, b) => rank(a) - rank(b) || (a.path < b.path ? -1 : 1));
  }

  shard(tests, { shardIndex, shardCount }) {
    return this.sort(tests).filter((_, index) => index % shardCount === shardIndex - 1);
  }

  allFailedTests(tests) {
    return tests;
  }

  cacheResults() {}
}
