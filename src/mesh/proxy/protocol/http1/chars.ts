/** Character classes of RFC 9110 and RFC 9112 as lookup tables: 1 = allowed. */
function table(allowed: (code: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, code) => (allowed(code) ? 1 : 0));
}

/** tchar (RFC 9110 5.6.2). */
export const TOKEN = table((code) => /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(String.fromCharCode(code)));

/** What a request target may hold: visible ASCII. Bytes above 127 are refused, a URI has none. */
export const TARGET = table((code) => code > 32 && code < 127);

/** field-content (RFC 9110 5.5) with obs-text; no control characters but HTAB. */
export const VALUE = table((code) => code === 9 || (code >= 32 && code !== 127));

/** Value of a hexadecimal digit; 255 for anything else. */
export const HEX = Uint8Array.from({ length: 256 }, (_, code) => {
  const character = String.fromCharCode(code);
  return /[0-9a-fA-F]/.test(character) ? Number.parseInt(character, 16) : 255;
});

/** Whether the bytes at `at` read `name` (lower case letters and dashes) in any case. The caller checks the length. */
export function isName(buffer: Buffer, at: number, name: string): boolean {
  for (let i = 0; i < name.length; i += 1) {
    const expected = name.charCodeAt(i);
    const c = buffer[at + i]!;
    // `| 32` folds letters; a digit, a dash and CR (never inside a token) are compared as they are.
    if (c !== expected && ((c | 32) !== expected || expected < 97)) return false;
  }
  return true;
}
