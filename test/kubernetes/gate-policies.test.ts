import { beforeAll } from '@jest/globals';
import { sharedCluster, type TestCluster } from '../e2e/support/cluster.ts';
import { gateScenarios } from './support/write-paths.ts';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await sharedCluster();
});

gateScenarios('policies', () => cluster);
