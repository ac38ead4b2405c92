import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { findEntries } from '../../local/node/entry.ts';

export interface SupervisedAgent {
  stop(): Promise<void>;
}

/** The GitOps agent as a process of its own, started again whenever it ends; its status lines go to `onLine`. */
export function superviseAgent(
  options: { kubeconfig: string; repository: string; directory: string },
  onLine: (line: string) => void,
): SupervisedAgent {
  let child: ChildProcess | undefined;
  let stopping = false;
  let ended: Promise<void> = Promise.resolve();
  let restart: NodeJS.Timeout | undefined;
  const start = () => {
    const started = spawn(
      process.execPath,
      [
        findEntries().main,
        'gitops',
        `--kubeconfig=${options.kubeconfig}`,
        `--repo=${options.repository}`,
        '--name=demo',
      ],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, KUBECONFIG: options.kubeconfig, TMPDIR: options.directory },
      },
    );
    child = started;
    createInterface({ input: started.stdout }).on('line', onLine);
    started.stderr.resume();
    ended = new Promise((resolve) => {
      started.once('exit', () => {
        child = undefined;
        if (!stopping) restart = setTimeout(start, 500);
        resolve();
      });
    });
  };
  start();
  return {
    async stop() {
      stopping = true;
      clearTimeout(restart);
      child?.kill('SIGTERM');
      const killer = setTimeout(() => child?.kill('SIGKILL'), 3000);
      await ended;
      clearTimeout(killer);
    },
  };
}
