/** An SSL_CTX: key, certificate and trust of one moment. Sessions keep what they were made with. */
import type { Credentials } from '../types.ts';
import type { Counts } from './memory.ts';
import {
  CTRL,
  type OpenSsl,
  SSL_MODES,
  SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
  SSL_VERIFY_PEER,
  TLS1_3,
} from './openssl.ts';

export class TlsContext {
  readonly pointer: number;
  readonly #openssl: OpenSsl;
  readonly #counts: Counts;
  #holders = 1;

  /** `alpn`: what a server agrees on. A client may have nothing to show. Throws when the credentials cannot be used. */
  constructor(
    openssl: OpenSsl,
    counts: Counts,
    credentials: Partial<Credentials> & { trust: string },
    alpn: string[] = [],
  ) {
    this.#openssl = openssl;
    this.#counts = counts;
    const { call } = openssl;
    call.clearErrors();
    this.pointer = call.contextNew(call.method());
    if (this.pointer === 0) throw openssl.takeError('no TLS context');
    counts.contexts += 1;
    try {
      this.#configure(alpn);
      this.#load(credentials);
    } catch (thrown) {
      this.release();
      throw thrown;
    }
  }

  #configure(alpn: string[]): void {
    const { call } = this.#openssl;
    const { pointer } = this;
    call.contextControl(pointer, CTRL.minVersion, TLS1_3, 0);
    call.contextControl(pointer, CTRL.mode, SSL_MODES, 0);
    call.contextControl(pointer, CTRL.readAhead, 1, 0);
    // No session is taken up again: each handshake verifies the peer by the trust of its day.
    call.contextControl(pointer, CTRL.cacheMode, 0, 0);
    call.contextTickets(pointer, 0);
    call.contextVerify(pointer, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, 0);
    if (alpn.length > 0)
      call.contextSelect(pointer, this.#openssl.selector, this.#openssl.protocols(alpn).address);
  }

  #load({ key, cert, trust }: Partial<Credentials> & { trust: string }): void {
    const { call } = this.#openssl;
    const { pointer } = this;
    const failed = (field: string) => this.#openssl.takeError(`${field} cannot be used`);
    if (cert !== undefined && key !== undefined) this.#loadKeys(cert, key, failed);
    const store = call.contextStore(pointer);
    this.#certificates(trust, (authority) => {
      if (call.storeAdd(store, authority) !== 1) throw failed('the trust bundle');
      call.contextClientAuthority(pointer, authority);
    });
    call.clearErrors();
  }

  #loadKeys(cert: string, key: string, failed: (field: string) => Error): void {
    const { call } = this.#openssl;
    const { pointer } = this;
    const certificates = this.#certificates(cert, (certificate, n) => {
      const taken =
        n === 0
          ? call.contextCertificate(pointer, certificate)
          : call.contextControl(pointer, CTRL.chainCert, 1, certificate);
      if (taken !== 1) throw failed('the certificate');
    });
    if (certificates === 0) throw failed('the certificate');
    this.#reading(key, (bio) => {
      const secret = call.pemKey(bio, 0, 0, 0);
      if (secret === 0) throw failed('the private key');
      const taken = call.contextKey(pointer, secret);
      call.keyFree(secret);
      if (taken !== 1 || call.contextCheckKey(pointer) !== 1) throw failed('the private key');
    });
  }

  /** Hands out each certificate of a PEM text; returns how many there were. */
  #certificates(pem: string, use: (certificate: number, n: number) => void): number {
    const { call } = this.#openssl;
    let n = 0;
    this.#reading(pem, (bio) => {
      for (;;) {
        const certificate = call.pemCertificate(bio, 0, 0, 0);
        if (certificate === 0) return;
        try {
          use(certificate, n);
        } finally {
          // Whoever took it holds a reference of its own.
          call.certificateFree(certificate);
        }
        n += 1;
      }
    });
    return n;
  }

  #reading(pem: string, use: (bio: number) => void): void {
    const { call } = this.#openssl;
    const bio = call.bioNew(call.bioMemory());
    try {
      call.bioWrite(bio, pem, Buffer.byteLength(pem));
      use(bio);
    } finally {
      call.bioFree(bio);
    }
  }

  /** For somebody who will need it later; each `retain` wants its `release`. */
  retain(): this {
    this.#holders += 1;
    return this;
  }

  release(): void {
    this.#holders -= 1;
    if (this.#holders !== 0) return;
    this.#openssl.call.contextFree(this.pointer);
    this.#counts.contexts -= 1;
  }
}
