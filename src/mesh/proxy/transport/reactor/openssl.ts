/** What the reactor calls of Node's own OpenSSL, whose symbols the node binary exports. */
import type { Koffi } from '../../../../lib/koffi.ts';
import { report } from './loop.ts';
import { Region } from './memory.ts';

export const TLS1_3 = 0x0304;
export const SSL_ERROR = { ssl: 1, wantRead: 2, wantWrite: 3, syscall: 5, zeroReturn: 6 } as const;
export const SSL_VERIFY_PEER = 1;
export const SSL_VERIFY_FAIL_IF_NO_PEER_CERT = 2;
/** PARTIAL_WRITE, ACCEPT_MOVING_WRITE_BUFFER, AUTO_RETRY, RELEASE_BUFFERS. */
export const SSL_MODES = 0x1 | 0x2 | 0x4 | 0x10;
/** Commands of SSL_CTX_ctrl and SSL_ctrl. */
export const CTRL = { mode: 33, readAhead: 41, cacheMode: 44, hostname: 55, chainCert: 89, minVersion: 123 };

const SSL_TLSEXT_ERR_OK = 0;
const SSL_TLSEXT_ERR_ALERT_FATAL = 2;
const OPENSSL_NPN_NEGOTIATED = 1;

type Functions = ReturnType<typeof functions>;

/** Pointers are numbers, and so are addresses of bytes. */
function functions(koffi: Koffi) {
  const node = koffi.load(null);
  const func = <F>(prototype: string) => node.func(prototype) as unknown as F;
  type One = (pointer: number) => number;
  type Two = (pointer: number, other: number) => number;
  type Three = (pointer: number, address: number, size: number) => number;
  return {
    method: func<() => number>('uint64_t TLS_method()'),
    contextNew: func<One>('uint64_t SSL_CTX_new(uint64_t)'),
    contextFree: func<One>('void SSL_CTX_free(uint64_t)'),
    contextControl: func<(context: number, command: number, value: number, pointer: number) => number>(
      'int64_t SSL_CTX_ctrl(uint64_t, int, int64_t, uint64_t)',
    ),
    contextTickets: func<Two>('int SSL_CTX_set_num_tickets(uint64_t, size_t)'),
    contextVerify: func<Three>('void SSL_CTX_set_verify(uint64_t, int, uint64_t)'),
    contextCertificate: func<Two>('int SSL_CTX_use_certificate(uint64_t, uint64_t)'),
    contextKey: func<Two>('int SSL_CTX_use_PrivateKey(uint64_t, uint64_t)'),
    contextCheckKey: func<One>('int SSL_CTX_check_private_key(uint64_t)'),
    contextStore: func<One>('uint64_t SSL_CTX_get_cert_store(uint64_t)'),
    contextClientAuthority: func<Two>('int SSL_CTX_add_client_CA(uint64_t, uint64_t)'),
    contextSelect: func<Three>('void SSL_CTX_set_alpn_select_cb(uint64_t, uint64_t, uint64_t)'),
    storeAdd: func<Two>('int X509_STORE_add_cert(uint64_t, uint64_t)'),
    bioNew: func<One>('uint64_t BIO_new(uint64_t)'),
    bioMemory: func<() => number>('uint64_t BIO_s_mem()'),
    bioWrite: func<(bio: number, text: string, size: number) => number>('int BIO_write(uint64_t, str, int)'),
    bioWriteBytes: func<Three>('int BIO_write(uint64_t, uint64_t, int)'),
    bioFree: func<One>('int BIO_free(uint64_t)'),
    pemCertificate: func<(bio: number, x: number, callback: number, u: number) => number>(
      'uint64_t PEM_read_bio_X509(uint64_t, uint64_t, uint64_t, uint64_t)',
    ),
    pemKey: func<(bio: number, x: number, callback: number, u: number) => number>(
      'uint64_t PEM_read_bio_PrivateKey(uint64_t, uint64_t, uint64_t, uint64_t)',
    ),
    certificateFree: func<One>('void X509_free(uint64_t)'),
    certificateDer: func<Two>('int i2d_X509(uint64_t, uint64_t)'),
    keyFree: func<One>('void EVP_PKEY_free(uint64_t)'),
    sessionNew: func<One>('uint64_t SSL_new(uint64_t)'),
    sessionFree: func<One>('void SSL_free(uint64_t)'),
    setReadBio: func<Two>('void SSL_set0_rbio(uint64_t, uint64_t)'),
    setReadFd: func<Two>('int SSL_set_rfd(uint64_t, int)'),
    setFd: func<Two>('int SSL_set_fd(uint64_t, int)'),
    accept: func<One>('void SSL_set_accept_state(uint64_t)'),
    connect: func<One>('void SSL_set_connect_state(uint64_t)'),
    hostname: func<(ssl: number, command: number, type: number, name: string) => number>(
      'int64_t SSL_ctrl(uint64_t, int, int64_t, str)',
    ),
    expectedHost: func<(ssl: number, name: string) => number>('int SSL_set1_host(uint64_t, str)'),
    alpnOffer: func<Three>('int SSL_set_alpn_protos(uint64_t, uint64_t, unsigned int)'),
    alpnSelected: func<Three>('void SSL_get0_alpn_selected(uint64_t, uint64_t, uint64_t)'),
    handshake: func<One>('int SSL_do_handshake(uint64_t)'),
    read: func<Three>('int SSL_read(uint64_t, uint64_t, int)'),
    write: func<Three>('int SSL_write(uint64_t, uint64_t, int)'),
    shutdown: func<One>('int SSL_shutdown(uint64_t)'),
    pending: func<One>('int SSL_has_pending(uint64_t)'),
    outcome: func<Two>('int SSL_get_error(uint64_t, int)'),
    peerCertificate: func<One>('uint64_t SSL_get0_peer_certificate(uint64_t)'),
    verifyResult: func<One>('long SSL_get_verify_result(uint64_t)'),
    verifyText: func<(code: number) => string>('str X509_verify_cert_error_string(long)'),
    clearErrors: func<() => void>('void ERR_clear_error()'),
    firstError: func<() => number>('unsigned long ERR_peek_error()'),
    errorText: func<(code: number) => string | null>('str ERR_reason_error_string(unsigned long)'),
    selectProtocol: func<
      (out: number, length: number, ours: number, size: number, theirs: number, count: number) => number
    >('int SSL_select_next_proto(uint64_t, uint64_t, uint64_t, unsigned int, uint64_t, unsigned int)'),
  };
}

/** The functions, and the lists of protocols that callbacks read while a handshake runs. */
export class OpenSsl {
  readonly call: Functions;
  /** The turn of the loop since which the error queue is known to be empty. */
  clearAt = -1;
  /** Told what one of our own functions threw that OpenSSL had called. */
  report: (thrown: unknown) => void = report;
  readonly #koffi: Koffi;
  readonly #lists = new Map<string, Region>();
  #select = 0;

  /** Throws when this Node does not export a function. */
  constructor(koffi: Koffi) {
    this.#koffi = koffi;
    this.call = functions(koffi);
  }

  /** Protocols as RFC 7301 writes them, at an address that stays. */
  protocols(names: string[]): Region {
    const key = names.join(',');
    let list = this.#lists.get(key);
    if (!list) {
      const wire = Buffer.concat(
        names.map((name) => Buffer.concat([Buffer.from([name.length]), Buffer.from(name)])),
      );
      list = new Region(this.#koffi, 2 + wire.length);
      // The length first, so that the callback finds it with nothing but the address.
      list.bytes.writeUInt16LE(wire.length, 0);
      wire.copy(list.bytes, 2);
      this.#lists.set(key, list);
    }
    return list;
  }

  /**
   * The address of the function that servers choose a protocol with; its last argument is the address of a list. One
   * for all of the process and never unregistered: a handshake may outlive the listener and the credentials it began with.
   * Nothing may be thrown through C: it would leave a session in the middle of a call, and its connection without an end.
   */
  get selector(): number {
    if (this.#select !== 0) return this.#select;
    const koffi = this.#koffi;
    const type = koffi.pointer(
      koffi.proto('int (uint64_t, uint64_t, uint64_t, uint64_t, unsigned int, uint64_t)'),
    );
    const choose = (
      _ssl: number,
      out: number,
      length: number,
      theirs: number,
      count: number,
      list: number,
    ) => {
      try {
        const ours = [...this.#lists.values()].find(({ address }) => address === list);
        if (!ours) throw new Error('a handshake asked for a list of protocols that is not known');
        const size = ours.bytes.readUInt16LE(0);
        const found = this.call.selectProtocol(out, length, ours.address + 2, size, theirs, count);
        return found === OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
      } catch (thrown) {
        this.report(thrown);
        return SSL_TLSEXT_ERR_ALERT_FATAL;
      }
    };
    this.#select = Number(koffi.address(koffi.register(choose, type)));
    return this.#select;
  }

  /** What went wrong, from the queue of this thread, which is empty afterwards. */
  takeError(what: string): Error {
    const code = this.call.firstError();
    const reason = code === 0 ? undefined : this.call.errorText(code);
    this.call.clearErrors();
    return new Error(reason ? `${what}: ${reason}` : what);
  }
}
