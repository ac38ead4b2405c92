import { OpaqueSession } from './opaque.ts';
import { detect } from './protocol/detect.ts';
import { HttpSession } from './session.ts';
import type { Stack } from './stack.ts';
import type { Connection, ConnectionHandler } from './transport/types.ts';

/** Silence after which the upstream is dialled, in case the server is the one to speak first. */
const DIAL_AFTER = 50;

/** Waits for the first bytes, then hands the connection over to the protocol they show. */
export function detectProtocol(stack: Stack, connection: Connection): ConnectionHandler {
  const { runtime } = stack;
  const { wheel, limits } = runtime;
  const began = runtime.now();
  let seen: Buffer | undefined;
  let opaque: OpaqueSession | undefined;
  let decided = false;

  const dial = () => {
    opaque ??= new OpaqueSession(stack, connection, () => toOpaque());
  };
  const toOpaque = () => {
    if (decided) return;
    decided = true;
    wheel.drop(deadline);
    dial();
    opaque!.commit(seen);
  };
  const deadline = wheel.deadline(() => {
    const left = began + limits.detectTimeout - runtime.now();
    if (left <= 0) return toOpaque();
    if (seen === undefined) dial();
    if (!decided) wheel.arm(deadline, left);
  });

  const handler: ConnectionHandler = {
    data: (chunk) => {
      const bytes = seen ? Buffer.concat([seen, chunk]) : chunk;
      const kind = detect(bytes);
      if (kind === 'more') {
        seen = connection.keep(bytes);
        return;
      }
      if (kind !== 'http1') {
        seen = connection.keep(bytes);
        return toOpaque();
      }
      decided = true;
      wheel.drop(deadline);
      opaque?.cancel();
      const session = new HttpSession(stack, connection);
      connection.handler = session;
      session.data(bytes);
    },
    drain: () => {},
    end: () => {
      if (seen === undefined && !opaque) return connection.destroy();
      toOpaque();
      connection.handler.end();
    },
    close: () => {
      wheel.drop(deadline);
      opaque?.cancel();
      stack.closed(connection);
    },
  };
  if (stack.table.serverFirst) queueMicrotask(dial);
  else wheel.arm(deadline, DIAL_AFTER);
  return handler;
}
