import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { eventually } from './cluster.ts';

/** What the built `weir` prints, or says as its error. Other tests of a cluster may end its API server at any time: then it is run again. */
export async function weir(kubeconfig: string, ...args: string[]): Promise<string> {
  const { text, killed } = await eventually(`weir ${args.join(' ')}`, async () => {
    const ran = promisify(execFile)(process.execPath, ['dist/main.js', ...args, '--kubeconfig', kubeconfig], {
      timeout: 60_000,
    });
    return ran.then(
      ({ stdout }) => ({ text: stdout, killed: false }),
      ({ stderr, killed }: { stderr: string; killed: boolean }) =>
        /ECONNREFUSED|ECONNRESET/.test(stderr) ? undefined : { text: stderr, killed },
    );
  });
  if (killed) throw new Error(`weir ${args.join(' ')} did not end within 60 s; it said: ${text}`);
  return text;
}
