import type { TLSSocket } from 'node:tls';

/** The other side of a mutual TLS connection. */
export interface Peer {
  spiffe: string;
  namespace: string;
  serviceAccount: string;
  /** Milliseconds since the epoch. */
  notAfter: number;
}

const cache = new WeakMap<TLSSocket, Peer | null>();

/**
 * The SPIFFE identity that the client proved, undefined when it proved none. `authorized` alone is not proof: a resumed
 * TLS 1.3 session without a client certificate has it set too.
 */
export function peerOf(socket: TLSSocket, trustDomain: string, now: number): Peer | undefined {
  let peer = cache.get(socket);
  if (peer === undefined) {
    peer = readPeer(socket, trustDomain);
    cache.set(socket, peer);
  }
  return peer && peer.notAfter > now ? peer : undefined;
}

function readPeer(socket: TLSSocket, trustDomain: string): Peer | null {
  const certificate = socket.authorized ? socket.getPeerX509Certificate() : undefined;
  if (!certificate) return null;
  const uris = (certificate.subjectAltName ?? '')
    .split(', ')
    .filter((name) => name.startsWith('URI:'))
    .map((name) => name.slice(4));
  // SPIFFE X.509-SVID, section 2: exactly one URI.
  const match = uris.length === 1 ? /^spiffe:\/\/([^/]+)\/ns\/([^/]+)\/sa\/([^/]+)$/.exec(uris[0]!) : null;
  if (!match || match[1] !== trustDomain) return null;
  return {
    spiffe: uris[0]!,
    namespace: match[2]!,
    serviceAccount: match[3]!,
    notAfter: Date.parse(certificate.validTo),
  };
}
