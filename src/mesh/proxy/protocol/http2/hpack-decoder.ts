/** HPACK decoding (RFC 7541). One decoder per connection and direction; blocks must come in order and whole. */
import { Field, STATIC, STATIC_COUNT, share } from './field.ts';
import { decodedBound, huffmanDecode } from './huffman.ts';
import { read, readInteger } from './integer.ts';
import type { FieldList } from './list.ts';

let scratch = Buffer.alloc(4_096);

export class HpackDecoder {
  /** What we allow in SETTINGS_HEADER_TABLE_SIZE. */
  readonly #allowed: number;
  #max: number;
  #size = 0;
  /** A ring: the newest entry is at `#inserted - 1`. */
  readonly #ring: (Field | undefined)[];
  readonly #mask: number;
  #inserted = 0;
  #count = 0;

  constructor(tableSize = 4_096) {
    this.#allowed = tableSize;
    this.#max = tableSize;
    let capacity = 1;
    while (capacity < tableSize / 32) capacity *= 2;
    this.#ring = [];
    this.#mask = capacity - 1;
  }

  /** Bytes in the dynamic table, as RFC 7541 4.1 counts. */
  get tableSize(): number {
    return this.#size;
  }

  /** Adds the fields of one whole block to `list`. False: malformed, or a bomb; the connection cannot go on. */
  decode(bytes: Buffer, from: number, to: number, list: FieldList): boolean {
    let at = from;
    let updates = true;
    while (at < to) {
      const first = bytes[at]!;
      if (first >= 128) {
        const index = readInteger(bytes, at, to, 7);
        const field = this.#entry(index);
        if (field === undefined) return false;
        at = read.end;
        list.add(field);
      } else if (first >= 64) {
        const field = this.#literal(bytes, at, to, 6, true, false);
        if (field === undefined) return false;
        at = read.end;
        this.#insert(field);
        list.add(field);
      } else if (first >= 32) {
        // RFC 7541 4.2: only at the beginning of a block, and never above what was allowed.
        const size = readInteger(bytes, at, to, 5);
        if (!updates || size < 0 || size > this.#allowed) return false;
        at = read.end;
        this.#max = size;
        this.#evict(0);
        continue;
      } else {
        const field = this.#literal(bytes, at, to, 4, false, first >= 16);
        if (field === undefined) return false;
        at = read.end;
        list.add(field);
      }
      updates = false;
      if (list.bomb) return false;
    }
    return true;
  }

  #entry(index: number): Field | undefined {
    if (index <= STATIC_COUNT) return index < 1 ? undefined : STATIC[index];
    const back = index - STATIC_COUNT;
    if (back > this.#count) return undefined;
    return this.#ring[(this.#inserted - back) & this.#mask];
  }

  #literal(
    bytes: Buffer,
    at: number,
    to: number,
    prefix: number,
    indexed: boolean,
    sensitive: boolean,
  ): Field | undefined {
    const index = readInteger(bytes, at, to, prefix);
    if (index < 0) return undefined;
    let name: string;
    let nameIndex: number | undefined;
    let next = read.end;
    if (index === 0) {
      const text = readString(bytes, next, to);
      if (text === undefined) return undefined;
      name = text;
      next = read.end;
    } else {
      const entry = this.#entry(index);
      if (entry === undefined) return undefined;
      ({ name, nameIndex } = entry);
    }
    const value = readString(bytes, next, to);
    if (value === undefined) return undefined;
    return indexed ? share(name, value, nameIndex) : new Field(name, value, nameIndex, sensitive);
  }

  #insert(field: Field): void {
    this.#evict(field.size);
    // Larger than the table: it is empty now, and that is no error (RFC 7541 4.4).
    if (field.size > this.#max) return;
    this.#ring[this.#inserted & this.#mask] = field;
    this.#inserted += 1;
    this.#count += 1;
    this.#size += field.size;
  }

  /** Makes room for `more` bytes. */
  #evict(more: number): void {
    while (this.#count > 0 && this.#size + more > this.#max) {
      const oldest = (this.#inserted - this.#count) & this.#mask;
      this.#size -= this.#ring[oldest]!.size;
      this.#ring[oldest] = undefined;
      this.#count -= 1;
    }
  }
}

/** A string literal (RFC 7541 5.2) as latin1, or undefined when it is malformed. Sets `read.end`. */
function readString(bytes: Buffer, at: number, to: number): string | undefined {
  if (at >= to) return undefined;
  const coded = bytes[at]! >= 128;
  const length = readInteger(bytes, at, to, 7);
  const start = read.end;
  if (length < 0 || length > to - start) return undefined;
  read.end = start + length;
  if (!coded) return bytes.toString('latin1', start, start + length);
  const bound = decodedBound(length);
  if (bound > scratch.length) scratch = Buffer.alloc(bound);
  const count = huffmanDecode(bytes, start, start + length, scratch);
  return count < 0 ? undefined : scratch.toString('latin1', 0, count);
}
