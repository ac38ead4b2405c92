import { HttpSession } from './http1/session.ts';
import { Http2Session } from './http2/session.ts';
import { OpaqueSession } from './opaque.ts';
import { detect } from './protocol/detect.ts';
import type { Stack } from './stack.ts';
import type { Connection, ConnectionHandler } from './transport/types.ts';

/** Silence after which the upstream is dialled, in case the server is the one to speak first. */
const DIAL_AFTER = 50;

function serve(stack: Stack, connection: Connection, kind: 'http1' | 'http2', bytes: Buffer) {
  const session = kind === 'http2' ? new Http2Session(stack, connection) : new HttpSession(stack, connection);
  connection.handler = session;
  session.data(bytes);
}

/** Known to be HTTP, as the destination is: HTTP/2 if it begins as that, HTTP/1.1 otherwise, even if malformed. */
export function detectVersion(stack: Stack, connection: Connection): ConnectionHandler {
  const { wheel, limits } = stack.runtime;
  const deadline = wheel.deadline(() => connection.destroy());
  wheel.arm(deadline, limits.keepAliveIdle);
  let seen: Buffer | undefined;
  return {
    data: (chunk) => {
      const bytes = seen ? Buffer.concat([seen, chunk]) : chunk;
      const kind = detect(bytes);
      if (kind === 'more' && bytes[0] === 80) {
        if (seen === undefined) wheel.arm(deadline, limits.headDeadline);
        seen = connection.keep(bytes);
        return;
      }
      wheel.drop(deadline);
      // Whoever is expected to speak HTTP/2 alone is told in HTTP/2 what is wrong.
      const strange = kind === 'tcp' && stack.table.protocol === 'http2';
      serve(stack, connection, kind === 'http2' || strange ? 'http2' : 'http1', bytes);
    },
    drain: () => {},
    end: () => connection.destroy(),
    close: () => {
      wheel.drop(deadline);
      stack.closed(connection);
    },
  };
}

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
      if (kind !== 'http1' && kind !== 'http2') {
        seen = connection.keep(bytes);
        return toOpaque();
      }
      decided = true;
      wheel.drop(deadline);
      opaque?.cancel();
      serve(stack, connection, kind, bytes);
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
