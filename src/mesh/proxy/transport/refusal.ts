/** Why the handshake of a client came to nothing, for whoever runs the proxy. */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';

/**
 * certificate: the client's was not accepted, or it showed none; identity: signed by the right authority, but nobody of the mesh;
 * protocol: no TLS 1.3, no protocol in common, or an alert of the client's; gone: it closed in the middle; timeout: it took too long;
 * no-certificate: this proxy has none yet; too-many: others have not finished theirs.
 */
export type RefusalCause =
  | 'certificate'
  | 'identity'
  | 'protocol'
  | 'gone'
  | 'timeout'
  | 'no-certificate'
  | 'too-many';

export interface Refusal {
  cause: RefusalCause;
  /** IP address of the client, where it can still be told. */
  peer: string | undefined;
  detail: string;
}

/** The same of a server of Node's own; `ready`: this side had a certificate. */
export function handshakeRefusal(error: NodeJS.ErrnoException, socket: TLSSocket, ready: boolean): Refusal {
  // The socket itself has forgotten whom it was connected to.
  const below = (socket as { _parent?: Socket | null })._parent;
  const peer = socket.remoteAddress ?? below?.remoteAddress;
  if (!ready) return { cause: 'no-certificate', peer, detail: 'this proxy has no certificate yet' };
  if (error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT') return { cause: 'timeout', peer, detail: error.message };
  const refused = socket.authorizationError as unknown as string | undefined;
  const detail = refused ?? error.message;
  return { cause: refusalCause(detail, refused !== undefined && refused !== null), peer, detail };
}

/** Texts of OpenSSL for a handshake that failed over the certificate without having verified one. */
const SHOWED_NONE = /peer did not return a certificate|certificate_required/i;

/** What an error of a handshake says about its cause; `untrusted`: the certificate was looked at and refused. */
export function refusalCause(message: string, untrusted: boolean): RefusalCause {
  if (untrusted || SHOWED_NONE.test(message)) return 'certificate';
  if (/unexpected eof|the connection broke/.test(message)) return 'gone';
  return /^TLS: |SSL routines/.test(message) ? 'protocol' : 'gone';
}
