// Product code and tests are ESM TypeScript; swc only strips types.
const common = {
  // Not what a cluster leaves in the repository's folder.
  roots: ['<rootDir>/src', '<rootDir>/test', '<rootDir>/examples'],
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      { jsc: { parser: { syntax: 'typescript' }, target: 'es2024' }, module: { type: 'es6' } },
    ],
  },
};

export default {
  // Scenarios wait for real processes; the deadline of each wait is its own.
  testTimeout: 120_000,
  // Scenarios mostly wait: three of them keep two cores busy, or four where, as in `npm test`, most files are no scenarios.
  maxWorkers: 3,
  testSequencer: '<rootDir>/test/sequencer.js',
  // A scenario that failed may leave a watch open; it must not keep the run from ending.
  forceExit: true,
  projects: [
    {
      ...common,
      displayName: 'unit',
      testMatch: [
        '<rootDir>/src/**/*.test.ts',
        '<rootDir>/examples/**/*.test.ts',
        '<rootDir>/test/bench/*.test.ts',
      ],
    },
    {
      // The tests that move bytes, once more on the transport that is not the default.
      ...common,
      displayName: 'portable',
      setupFiles: ['<rootDir>/test/portable.js'],
      testMatch: [
        '<rootDir>/src/mesh/proxy/*.test.ts',
        '<rootDir>/src/mesh/proxy/{access-log,intercept,tap,tracing}/*.test.ts',
        '<rootDir>/src/mesh/*.test.ts',
        '<rootDir>/src/mesh/identity/client*.test.ts',
      ],
    },
    {
      ...common,
      displayName: 'conformance',
      testMatch: ['<rootDir>/test/conformance/**/*.test.ts'],
      testPathIgnorePatterns: ['-attacks.test.ts$'],
    },
    {
      ...common,
      displayName: 'attacks',
      testMatch: ['<rootDir>/test/conformance/**/*-attacks.test.ts'],
    },
    {
      ...common,
      displayName: 'e2e',
      testMatch: ['<rootDir>/test/e2e/**/*.test.ts'],
      globalSetup: '<rootDir>/test/e2e/support/global-setup.ts',
      globalTeardown: '<rootDir>/test/e2e/support/global-teardown.ts',
    },
    {
      // In network namespaces: `npm run test:transparent` makes them.
      ...common,
      displayName: 'transparent',
      testMatch: ['<rootDir>/test/transparent/**/*.test.ts'],
    },
    {
      // The same scenarios, and more, on a real API server: `npm run test:kubernetes` starts it.
      ...common,
      displayName: 'kubernetes',
      testMatch: ['<rootDir>/test/e2e/**/*.test.ts', '<rootDir>/test/kubernetes/**/*.test.ts'],
      // There a tap goes through `kubectl port-forward`, which needs a real kubelet: the node component has none.
      testPathIgnorePatterns: ['/node_modules/', '<rootDir>/test/e2e/tap.test.ts'],
      globalSetup: '<rootDir>/test/e2e/support/global-setup.ts',
      globalTeardown: '<rootDir>/test/e2e/support/global-teardown.ts',
    },
  ],
};
