/** The server name in the first bytes of a TLS connection (RFC 8446, section 4.1.2; RFC 6066, section 3). Pure. */

/** `more`: not all of it is here. `none`: it is no ClientHello, or names no server. */
export type ClientHello = { name: string } | 'more' | 'none';

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const SERVER_NAME = 0;
const HOST_NAME = 0;
/** Of records (RFC 8446, section 5.1). */
const MAX_RECORD = 16_384;
/** A hello that is longer is nobody's of the mesh. */
const MAX_HELLO = 65_536;

export function clientHello(bytes: Buffer): ClientHello {
  const message = handshake(bytes);
  if (typeof message === 'string') return message;
  try {
    return { name: serverName(message) ?? '' };
  } catch {
    // Lengths inside that lead outside.
    return 'none';
  }
}

/** The body of the ClientHello, which may be cut into several records. */
function handshake(bytes: Buffer): Buffer | 'more' | 'none' {
  const parts: Buffer[] = [];
  let have = 0;
  for (let at = 0; ; ) {
    if (at < bytes.length && bytes[at] !== HANDSHAKE) return 'none';
    if (at + 5 > bytes.length) return 'more';
    const length = bytes.readUInt16BE(at + 3);
    if (bytes[at + 1] !== 3 || length === 0 || length > MAX_RECORD) return 'none';
    const part = bytes.subarray(at + 5, at + 5 + length);
    parts.push(part);
    have += part.length;
    const message = parts.length === 1 ? part : Buffer.concat(parts);
    if (have > 0 && message[0] !== CLIENT_HELLO) return 'none';
    if (have >= 4) {
      const whole = 4 + message.readUIntBE(1, 3);
      if (whole > MAX_HELLO) return 'none';
      if (have >= whole) return message.subarray(4, whole);
    }
    if (part.length < length) return 'more';
    at += 5 + length;
  }
}

function serverName(hello: Buffer): string | undefined {
  let at = 2 + 32;
  at += 1 + hello.readUInt8(at);
  at += 2 + hello.readUInt16BE(at);
  at += 1 + hello.readUInt8(at);
  if (at === hello.length) return undefined;
  const end = at + 2 + hello.readUInt16BE(at);
  at += 2;
  while (at < end) {
    const type = hello.readUInt16BE(at);
    const length = hello.readUInt16BE(at + 2);
    at += 4;
    if (type === SERVER_NAME) {
      if (length < 5 || hello.readUInt8(at + 2) !== HOST_NAME) return undefined;
      const size = hello.readUInt16BE(at + 3);
      if (at + 5 + size > hello.length) throw new RangeError('server name');
      return hello.toString('latin1', at + 5, at + 5 + size).toLowerCase();
    }
    at += length;
  }
  return undefined;
}
