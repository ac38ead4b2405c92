import { once } from 'node:events';
import { WebSocket } from 'ws';
import { eventually } from '../../e2e/support/cluster.ts';

/** Where Node's inspector listens once SIGUSR1 has asked for it. */
const INSPECTOR = 'http://127.0.0.1:9229/json/list';

/** MiB of live objects in a Node process, garbage collected first: what RSS cannot tell from the heap's own breathing. */
export async function liveHeapMiB(pid: number): Promise<number> {
  process.kill(pid, 'SIGUSR1');
  const [target] = await eventually(
    'the inspector',
    async () => (await (await fetch(INSPECTOR)).json()) as { webSocketDebuggerUrl: string }[],
    { timeoutMs: 20_000 },
  );
  const socket = new WebSocket(target!.webSocketDebuggerUrl);
  try {
    await once(socket, 'open');
    let last = 0;
    const call = async (method: string, params: object = {}) => {
      last += 1;
      socket.send(JSON.stringify({ id: last, method, params }));
      for (;;) {
        const answer = JSON.parse(((await once(socket, 'message')) as [Buffer])[0].toString());
        if (answer.id === last) return answer.result;
      }
    };
    await call('HeapProfiler.collectGarbage');
    const expression = 'process.memoryUsage().heapUsed';
    const { result } = await call('Runtime.evaluate', { expression, returnByValue: true });
    return Number(result.value) / 1_048_576;
  } finally {
    socket.close();
  }
}
