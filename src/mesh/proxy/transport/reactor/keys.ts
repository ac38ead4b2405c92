/**
 * New private keys by Node's own OpenSSL, called directly: node:crypto, loaded for a key and a signature twice a day, would be half a
 * megabyte in each sidecar.
 */
import type { MakeKey } from '../../../identity/client/csr.ts';
import type { Loop } from './loop.ts';
import type { OpenSsl } from './openssl.ts';

type Call = (...values: (number | string)[]) => number;

let calls: Record<string, Call> | undefined;

/** As `nodeKey`. */
export function opensslKey(loop: Loop, openssl: OpenSsl): MakeKey {
  return (signed) => {
    calls ??= bind(loop);
    const { clearErrors, keyFree } = openssl.call;
    clearErrors();
    const key = calls.generate!(0, 0, 'EC', 'str', 'P-256');
    try {
      if (key === 0) throw openssl.takeError('no key could be made');
      const signature = sign(loop, openssl, key, signed(publicKey(loop, key)));
      return { pem: pemOf(loop, openssl, key), signature };
    } finally {
      keyFree(key);
      // The key was here on its way.
      loop.output.bytes.fill(0);
    }
  };
}

/** SubjectPublicKeyInfo, DER. */
function publicKey({ scratch, output }: Loop, key: number): Buffer {
  scratch.bytes.writeBigUInt64LE(BigInt(output.address), 0);
  const length = calls!.publicKey!(key, scratch.address);
  return Buffer.from(output.bytes.subarray(0, length));
}

/** ECDSA with SHA-256. */
function sign({ scratch, output }: Loop, openssl: OpenSsl, key: number, data: Buffer): Buffer {
  const { digestNew, digestFree, signInit, sha256, sign } = calls!;
  const digest = digestNew!();
  try {
    if (signInit!(digest, 0, sha256!(), 0, key) !== 1) throw openssl.takeError('the key does not sign');
    const room = 256;
    const at = output.address + room;
    data.copy(output.bytes, room);
    scratch.bytes.writeBigUInt64LE(BigInt(room), 0);
    if (sign!(digest, output.address, scratch.address, at, data.length) !== 1)
      throw openssl.takeError('the key does not sign');
    return Buffer.from(output.bytes.subarray(0, scratch.bytes.readUInt32LE(0)));
  } finally {
    digestFree!(digest);
  }
}

/** PKCS #8. */
function pemOf({ output }: Loop, openssl: OpenSsl, key: number): string {
  const { bioNew, bioMemory, bioFree } = openssl.call;
  const bio = bioNew(bioMemory());
  try {
    if (calls!.pem!(bio, key, 0, 0, 0, 0, 0) !== 1) throw openssl.takeError('the key cannot be written');
    const length = calls!.bioRead!(bio, output.address, output.size);
    return output.bytes.toString('latin1', 0, length);
  } finally {
    bioFree(bio);
  }
}

function bind({ koffi }: Loop): Record<string, Call> {
  const node = koffi.load(null);
  return {
    generate: node.func('uint64_t EVP_PKEY_Q_keygen(uint64_t, uint64_t, str, ...)'),
    publicKey: node.func('int i2d_PUBKEY(uint64_t, uint64_t)'),
    digestNew: node.func('uint64_t EVP_MD_CTX_new()'),
    digestFree: node.func('void EVP_MD_CTX_free(uint64_t)'),
    sha256: node.func('uint64_t EVP_sha256()'),
    signInit: node.func('int EVP_DigestSignInit(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t)'),
    sign: node.func('int EVP_DigestSign(uint64_t, uint64_t, uint64_t, uint64_t, size_t)'),
    pem: node.func(
      'int PEM_write_bio_PrivateKey(uint64_t, uint64_t, uint64_t, uint64_t, int, uint64_t, uint64_t)',
    ),
    bioRead: node.func('int BIO_read(uint64_t, uint64_t, int)'),
  } as unknown as Record<string, Call>;
}
