import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Writes a kubeconfig for a test's server on plain HTTP of this machine, and returns its path. */
export function plainKubeconfig(port: number, token?: string): string {
  const file = join(mkdtempSync(join(tmpdir(), 'weir-kube-')), 'config');
  writeFileSync(
    file,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'a',
      contexts: [{ name: 'a', context: { cluster: 'a', user: 'a' } }],
      // Plain HTTP is refused unless told otherwise.
      clusters: [
        { name: 'a', cluster: { server: `http://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true } },
      ],
      users: [{ name: 'a', user: token ? { token } : {} }],
    }),
  );
  return file;
}
