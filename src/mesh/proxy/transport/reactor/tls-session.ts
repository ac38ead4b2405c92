/** An SSL on a descriptor. Owned by its socket, which frees it. */
import { EAGAIN, systemError } from './libc.ts';
import type { Loop } from './loop.ts';
import { CTRL, type OpenSsl, SSL_ERROR } from './openssl.ts';
import { AGAIN, FAILED, type Socket } from './socket.ts';
import type { TlsContext } from './tls-context.ts';

/** The longest record (RFC 8446, 5.1). */
const RECORD = 16_384;

export class TlsSession {
  /** The last read has to wait until something can be written. */
  crossed = false;
  /** The peer's certificate was looked at and refused. */
  untrusted = false;
  /** There is more to read without a word from the kernel. */
  pending = false;
  readonly #openssl: OpenSsl;
  readonly #loop: Loop;
  readonly #ssl: number;
  /** Reads what came before the handshake began. */
  #fromMemory = false;
  /** After a fatal error nothing may be called but `free`. */
  #broken = false;
  /** What every further read gives: the end, or an error. */
  #last: number | undefined;

  constructor(openssl: OpenSsl, loop: Loop, fd: number, context: TlsContext) {
    this.#openssl = openssl;
    this.#loop = loop;
    const { call } = openssl;
    this.#ssl = call.sessionNew(context.pointer);
    if (this.#ssl === 0) throw openssl.takeError('no TLS session');
    loop.counts.sessions += 1;
    call.setFd(this.#ssl, fd);
  }

  /** `first`: what has been read from the descriptor already. */
  asServer(first?: Buffer): this {
    const { call } = this.#openssl;
    call.accept(this.#ssl);
    if (!first) return this;
    const memory = call.bioNew(call.bioMemory());
    const { output } = this.#loop;
    for (let at = 0; at < first.length; at += output.size) {
      const size = first.copy(output.bytes, 0, at);
      call.bioWriteBytes(memory, output.address, size);
    }
    // The session frees it, when the descriptor takes its place.
    call.setReadBio(this.#ssl, memory);
    this.#fromMemory = true;
    return this;
  }

  asClient(servername: string, alpn: string[] = []): this {
    const { call } = this.#openssl;
    call.connect(this.#ssl);
    call.hostname(this.#ssl, CTRL.hostname, 0, servername);
    if (alpn.length > 0) {
      const list = this.#openssl.protocols(alpn);
      call.alpnOffer(this.#ssl, list.address + 2, list.bytes.readUInt16LE(0));
    }
    return this;
  }

  /** The handshake fails unless the peer's certificate is of this DNS name (RFC 9525, section 6). */
  expect(name: string): void {
    this.#openssl.call.expectedHost(this.#ssl, name);
  }

  /** true = done. */
  handshake(socket: Socket): true | 'read' | 'write' | Error {
    this.#openssl.call.clearErrors();
    const done = this.#openssl.call.handshake(this.#ssl);
    if (done === 1) {
      this.pending = this.#openssl.call.pending(this.#ssl) === 1;
      return true;
    }
    const outcome = this.#outcome(socket, done);
    if (outcome === SSL_ERROR.wantRead && this.#fromMemory) {
      this.#fromMemory = false;
      this.#openssl.call.setReadFd(this.#ssl, socket.fd);
      return this.handshake(socket);
    }
    if (outcome === SSL_ERROR.wantRead) return 'read';
    if (outcome === SSL_ERROR.wantWrite) return 'write';
    return socket.error ?? new Error('the connection ended in the middle of the TLS handshake');
  }

  /** Several records at once if they are there. */
  read(socket: Socket, address: number, size: number): number {
    const { call } = this.#openssl;
    if (this.#last !== undefined) return this.#last;
    this.#fresh();
    this.crossed = false;
    let filled = 0;
    do {
      const count = call.read(this.#ssl, address + filled, size - filled);
      if (count <= 0) return this.#stopped(socket, count, filled);
      filled += count;
      // What belongs to records that are not whole counts too; the next read finds out.
      this.pending = call.pending(this.#ssl) === 1;
    } while (filled < size && this.pending);
    return filled;
  }

  /** No more can be read now, or ever. What has been read is given first. */
  #stopped(socket: Socket, returned: number, filled: number): number {
    const outcome = this.#outcome(socket, returned);
    this.pending = false;
    this.crossed = outcome === SSL_ERROR.wantWrite;
    if (this.crossed || outcome === SSL_ERROR.wantRead) return filled > 0 ? filled : AGAIN;
    this.#last = outcome === SSL_ERROR.zeroReturn ? 0 : FAILED;
    if (filled === 0) return this.#last;
    this.pending = true;
    return filled;
  }

  write(socket: Socket, address: number, size: number): number {
    if (this.#broken) return FAILED;
    const { call } = this.#openssl;
    this.#fresh();
    let sent = 0;
    while (sent < size) {
      const count = call.write(this.#ssl, address + sent, Math.min(RECORD, size - sent));
      if (count > 0) {
        sent += count;
        continue;
      }
      const outcome = this.#outcome(socket, count);
      if (outcome === SSL_ERROR.wantWrite || outcome === SSL_ERROR.wantRead) return sent;
      return FAILED;
    }
    return sent;
  }

  /** Sends close_notify; false = not yet, or failed if the socket has an error. */
  shutdown(socket: Socket): boolean {
    if (this.#broken) return true;
    this.#fresh();
    const done = this.#openssl.call.shutdown(this.#ssl);
    if (done >= 0) return true;
    const outcome = this.#outcome(socket, done);
    // Nothing to wait for but room: that the peer says the same is seen by reading.
    return outcome !== SSL_ERROR.wantWrite && outcome !== SSL_ERROR.wantRead && socket.error === undefined;
  }

  /** The protocol agreed on. */
  get alpn(): string | undefined {
    const { bytes, address } = this.#loop.scratch;
    this.#openssl.call.alpnSelected(this.#ssl, address, address + 8);
    const [name, length] = [bytes.readBigUInt64LE(0), bytes.readUInt32LE(8)];
    if (length === 0) return undefined;
    return Buffer.from(this.#loop.koffi.decode(name, 'uint8_t', length) as Uint8Array).toString('latin1');
  }

  /** In DER. */
  get peerCertificate(): Buffer | undefined {
    const { call } = this.#openssl;
    const certificate = call.peerCertificate(this.#ssl);
    if (certificate === 0) return undefined;
    const { scratch, output } = this.#loop;
    const length = call.certificateDer(certificate, 0);
    if (length <= 0 || length > output.size) return undefined;
    scratch.bytes.writeBigUInt64LE(BigInt(output.address), 0);
    call.certificateDer(certificate, scratch.address);
    return Buffer.from(output.bytes.subarray(0, length));
  }

  free(): void {
    this.#openssl.call.sessionFree(this.#ssl);
    this.#loop.counts.sessions -= 1;
  }

  /**
   * What is left in the thread's error queue would be taken for an error of the next call. Within one turn nobody else
   * uses OpenSSL, and what goes wrong here is taken out.
   */
  #fresh(): void {
    const { turning, turns } = this.#loop;
    if (turning && this.#openssl.clearAt === turns) return;
    this.#openssl.clearAt = turns;
    this.#openssl.call.clearErrors();
  }

  #outcome(socket: Socket, returned: number): number {
    const errno = this.#loop.libc.errno();
    const outcome = this.#openssl.call.outcome(this.#ssl, returned);
    if (outcome === SSL_ERROR.syscall) {
      this.#broken = true;
      this.#openssl.call.clearErrors();
      socket.fail(
        errno === 0 || errno === EAGAIN ? new Error('TLS: the connection broke') : systemError('read', errno),
      );
    } else if (outcome === SSL_ERROR.ssl) {
      this.#broken = true;
      const verified = this.#openssl.call.verifyResult(this.#ssl);
      this.untrusted = verified !== 0;
      const error = this.#openssl.takeError('TLS');
      socket.fail(verified === 0 ? error : new Error(this.#openssl.call.verifyText(verified)));
    }
    return outcome;
  }
}
