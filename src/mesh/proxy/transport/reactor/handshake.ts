/** The TLS handshake of a socket, on either side. */
import { X509Certificate } from 'node:crypto';
import { spiffeIds } from '../spiffe.ts';
import { EPOLLIN } from './libc.ts';
import type { Loop, Watch } from './loop.ts';
import type { OpenSsl } from './openssl.ts';
import type { Socket } from './socket.ts';
import type { TlsContext } from './tls-context.ts';
import { TlsSession } from './tls-session.ts';

/**
 * Begins the handshake; `done` is called once, later. `named`: the server has to prove `servername`, which is else only said to it.
 * Throws when there is no memory for a session.
 */
export function shakeHands(
  { socket, loop, openssl, context }: { socket: Socket; loop: Loop; openssl: OpenSsl; context: TlsContext },
  side: { servername: string; alpn?: string[]; named?: boolean } | { first: Buffer | undefined },
  done: (error?: Error) => void,
): Watch {
  const session = new TlsSession(openssl, loop, socket.fd, context);
  // The socket frees it from now on.
  socket.secure(session);
  if ('servername' in side) {
    session.asClient(side.servername, side.alpn);
    if (side.named) session.expect(side.servername);
  } else session.asServer(side.first);
  const watch: Watch = {
    ready: () => {
      const outcome = socket.handshake();
      if (outcome === false) return;
      try {
        done(outcome === true ? undefined : outcome);
      } catch (thrown) {
        // Whoever should have it does not: nobody else would close it.
        socket.close();
        throw thrown;
      }
    },
  };
  socket.watch = watch;
  socket.want(EPOLLIN);
  // What is here already is no event.
  if ('first' in side && side.first) loop.again(socket);
  return watch;
}

/** The SPIFFE ids of the peer's certificate, which OpenSSL has verified against the trust bundle. */
export function peerIds(socket: Socket): string[] {
  const der = socket.tls?.peerCertificate;
  return der ? spiffeIds({ subjectaltname: new X509Certificate(der).subjectAltName }) : [];
}
