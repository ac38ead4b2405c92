import { HttpSession } from './http1/session.ts';
import { Http2Session } from './http2/session.ts';
import { OpaqueSession } from './opaque.ts';
import { clientHello } from './protocol/client-hello.ts';
import { type Detected, detect } from './protocol/detect.ts';
import type { Stack } from './stack.ts';
import type { Connection, ConnectionHandler } from './transport/types.ts';

/** First byte of a TLS handshake. */
const HANDSHAKE = 0x16;
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
      const { protocol, http } = stack.table;
      const strange = kind === 'tcp' && (protocol === 'http2' || (protocol === 'detect' && http === 2));
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

/** What the first bytes are: `own` when they begin a handshake with this proxy itself. */
function recognise(bytes: Buffer, ownName: string | undefined): Detected | 'own' {
  const kind = detect(bytes);
  if (kind !== 'tls' || ownName === undefined) return kind;
  const hello = clientHello(bytes);
  if (hello === 'more') return 'more';
  // Somebody else's name: the application's own TLS, whose bytes pass through.
  return hello !== 'none' && hello.name === ownName ? 'own' : 'tls';
}

/** Waits for the first bytes, then hands the connection over to the protocol they show. */
export function detectProtocol(stack: Stack, connection: Connection): ConnectionHandler {
  const { runtime } = stack;
  const { wheel, limits } = runtime;
  const began = runtime.now();
  const { ownName } = stack;
  const opaquely = stack.table.protocol === 'tcp';
  let seen: Buffer | undefined;
  let opaque: OpaqueSession | undefined;
  let decided = false;

  const dial = () => {
    opaque ??= new OpaqueSession(stack, connection, () => toOpaque());
  };
  /**
   * Bytes pass as they are only where they cannot be meant as HTTP: an application that speaks it might take them for a request
   * all the same (an empty line first, a strange method, a pause), with headers that nobody has stripped.
   */
  const strictly = (bytes: Buffer | undefined) => {
    decided = true;
    wheel.drop(deadline);
    opaque?.cancel();
    connection.handler = detectVersion(stack, connection);
    if (bytes) connection.handler.data(bytes);
  };
  const toOpaque = (kind?: Detected) => {
    if (decided) return;
    if (stack.strip && stack.table.http !== 0 && kind !== 'tls') return strictly(seen);
    decided = true;
    wheel.drop(deadline);
    dial();
    opaque!.commit(seen);
  };
  const deadline = wheel.deadline(() => {
    // A handshake may still come, held up by a lost packet; whoever waits for the server is connected to it by then.
    const patience = ownName !== undefined && !seen ? limits.handshakeTimeout : limits.detectTimeout;
    const left = began + patience - runtime.now();
    if (left <= 0) return toOpaque();
    if (seen === undefined) dial();
    if (!decided) wheel.arm(deadline, left);
  });

  const handler: ConnectionHandler = {
    data: (chunk) => {
      const bytes = seen ? Buffer.concat([seen, chunk]) : chunk;
      const kind = recognise(bytes, ownName);
      if (kind === 'more' && !(opaquely && bytes[0] !== HANDSHAKE)) {
        seen = connection.keep(bytes);
        wheel.arm(deadline, Math.max(0, began + limits.detectTimeout - runtime.now()));
        return;
      }
      if (kind === 'own') {
        decided = true;
        wheel.drop(deadline);
        opaque?.cancel();
        return stack.startTls(connection, connection.keep(bytes));
      }
      if (opaquely || (kind !== 'http1' && kind !== 'http2')) {
        seen = connection.keep(bytes);
        return toOpaque(kind);
      }
      decided = true;
      wheel.drop(deadline);
      opaque?.cancel();
      serve(stack, connection, kind, bytes);
    },
    drain: () => {},
    end: () => {
      // Even a client with nothing to say may want to hear what the server says to that.
      toOpaque();
      connection.handler.end();
    },
    close: () => {
      decided = true;
      wheel.drop(deadline);
      opaque?.cancel();
      stack.closed(connection);
    },
  };
  // A connection that may yet turn out to be a peer's is not worth one to the application at once.
  if (stack.table.serverFirst(began) && ownName === undefined)
    runtime.transport.afterTurn(() => {
      if (!decided) dial();
    });
  else wheel.arm(deadline, DIAL_AFTER);
  return handler;
}
