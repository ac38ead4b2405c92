import { watch as watchFile } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import type { ServerContext } from './context.ts';
import { badRequest, notFound } from './errors.ts';
import type { ResourceRequest } from './http/request.ts';
import { at, isObject, type JsonObject } from './json.ts';

const POLL = 200;

/** GET pods/NAME/log, from the files that the node writes: `pods/<namespace>_<name>_<uid>/<container>/<restart>.log`. */
export async function podLog(
  context: ServerContext,
  request: ResourceRequest,
  response: ServerResponse,
): Promise<void> {
  const { namespace, name, query, signal } = request;
  const pod = context.store.get('/pods', namespace, name)?.object;
  if (!pod) throw notFound({ group: '', resource: 'pods' }, name);
  const containers = [
    ...listOf(at(pod, 'spec', 'containers')),
    ...listOf(at(pod, 'spec', 'initContainers')),
  ].map((each) => String(each.name));
  const container = query.get('container') || containers[0]!;
  if (!query.get('container') && listOf(at(pod, 'spec', 'containers')).length > 1)
    throw badRequest(
      `a container name must be specified for pod ${name}, choose one of: [${containers.join(' ')}]`,
    );
  if (!containers.includes(container))
    throw badRequest(`container ${container} is not valid for pod ${name}`);
  const folder = join(context.dir, 'pods', `${namespace}_${name}_${pod.metadata.uid}`, container);
  const restarts = (await readdir(folder).catch(() => [] as string[]))
    .map((file) => /^(\d+)\.log$/.exec(file)?.[1])
    .filter((each) => each !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
  const previous = query.get('previous') === 'true';
  const restart = restarts.at(previous ? -2 : -1);
  if (restart === undefined) {
    if (previous) throw badRequest(`previous terminated container "${container}" in pod "${name}" not found`);
    throw badRequest(`container "${container}" in pod "${name}" is waiting to start: ContainerCreating`);
  }
  const path = join(folder, `${restart}.log`);
  const start = await startOf(path, query.get('tailLines'), query.get('limitBytes'));
  response.writeHead(200, { 'content-type': 'text/plain' });
  const running = (): boolean => {
    const current = context.store.get('/pods', namespace, name)?.object;
    if (current?.metadata.uid !== pod.metadata.uid) return false;
    const status = listOf(at(current, 'status', 'containerStatuses')).find((each) => each.name === container);
    return at(status, 'state', 'running') !== undefined && Number(status?.restartCount ?? 0) <= restart;
  };
  await copy(
    path,
    start,
    response,
    query.get('follow') === 'true' && !previous ? running : () => false,
    signal,
  );
  response.end();
}

const listOf = (value: unknown): JsonObject[] => (Array.isArray(value) ? value.filter(isObject) : []);

/** Offset of the n-th line from the end. */
async function startOf(path: string, tailLines: string | null, limitBytes: string | null): Promise<number> {
  const { size } = await stat(path);
  if (tailLines === null) return limitBytes === null ? 0 : Math.max(0, size - Number(limitBytes));
  const wanted = Number(tailLines);
  if (wanted <= 0) return size;
  const file = await open(path);
  try {
    const buffer = Buffer.alloc(64 * 1024);
    let found = 0;
    for (let end = size; end > 0; ) {
      const from = Math.max(0, end - buffer.length);
      const { bytesRead } = await file.read(buffer, 0, end - from, from);
      for (let index = bytesRead - 1; index >= 0; index -= 1) {
        // The newline that ends the last line does not count.
        if (buffer[index] !== 10 || from + index === size - 1) continue;
        found += 1;
        if (found === wanted) return from + index + 1;
      }
      end = from;
    }
    return 0;
  } finally {
    await file.close();
  }
}

async function copy(
  path: string,
  start: number,
  response: ServerResponse,
  running: () => boolean,
  signal: AbortSignal,
): Promise<void> {
  const file = await open(path);
  const buffer = Buffer.alloc(64 * 1024);
  let position = start;
  let gone = false;
  response.on('close', () => {
    gone = true;
  });
  let wake = (): void => {};
  const watcher = watchFile(path, () => wake());
  try {
    while (!gone && !signal.aborted) {
      // Asked before reading: what a container wrote before it ended is still sent.
      const more = running();
      const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
      position += bytesRead;
      if (bytesRead > 0) {
        if (!response.write(Buffer.from(buffer.subarray(0, bytesRead))))
          await new Promise<void>((done) => {
            response.once('drain', done);
            response.once('close', done);
          });
      } else if (!more) return;
      else
        await new Promise<void>((done) => {
          const timer = setTimeout(done, POLL);
          wake = () => {
            clearTimeout(timer);
            done();
          };
        });
    }
  } finally {
    watcher.close();
    await file.close();
  }
}
