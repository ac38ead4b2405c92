import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startWithWeir } from './start.ts';

declare global {
  var weirE2E: { stop(): Promise<void> } | undefined;
}

/** One cluster with Weir installed for all test files; each scenario has a namespace of its own. */
export default async function setup(): Promise<void> {
  // A cluster that somebody left running: a file is tried again within seconds.
  if (process.env.WEIR_E2E_KUBECONFIG) return;
  const cluster = await startWithWeir(mkdtempSync(join(tmpdir(), 'weir-e2e-')));
  process.env.WEIR_E2E_KUBECONFIG = cluster.kubeconfig;
  process.env.WEIR_E2E_DIR = cluster.dir;
  globalThis.weirE2E = cluster;
}
