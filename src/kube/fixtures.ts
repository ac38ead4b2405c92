import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folders: string[] = [];
// Where jest runs it; the soak uses it too.
(globalThis as { afterAll?: (callback: () => void) => void }).afterAll?.(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** Writes a kubeconfig for a test's server on plain HTTP of this machine, and returns its path. */
export function plainKubeconfig(port: number, token?: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'weir-kube-'));
  folders.push(folder);
  const file = join(folder, 'config');
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
