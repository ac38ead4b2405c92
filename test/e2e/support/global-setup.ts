import { mkdtempSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { onKubernetes, startWithWeir } from './start.ts';

declare global {
  var weirE2E: { stop(): Promise<void> } | undefined;
}

/** One cluster with Weir installed for all test files; each scenario has a namespace of its own. */
export default async function setup(): Promise<void> {
  // A cluster that somebody left running: a file is tried again within seconds.
  if (process.env.WEIR_E2E_KUBECONFIG) return;
  const started = performance.now();
  const cluster = await startWithWeir(mkdtempSync(join(tmpdir(), 'weir-e2e-')));
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const what = onKubernetes ? 'a real control plane' : 'the local cluster';
  // For one on built tools 15 s are the aim; what else a machine does decides, so it is told and not asserted.
  process.stderr.write(
    `${what} is up, with Weir in it, after ${seconds} s (load ${loadavg()[0]!.toFixed(1)})\n`,
  );
  process.env.WEIR_E2E_KUBECONFIG = cluster.kubeconfig;
  process.env.WEIR_E2E_DIR = cluster.dir;
  globalThis.weirE2E = cluster;
}
