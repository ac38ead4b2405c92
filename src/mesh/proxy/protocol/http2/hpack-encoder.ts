/** HPACK encoding (RFC 7541). One encoder per connection and direction. */
import { type Field, STATIC_COUNT } from './field.ts';
import { huffmanEncode, huffmanLength } from './huffman.ts';
import { writeInteger } from './integer.ts';

/** The most we keep, whatever the peer would allow. */
const OWN_LIMIT = 4_096;
const MASK = OWN_LIMIT / 32 - 1;

export class HpackEncoder {
  #max = OWN_LIMIT;
  #size = 0;
  readonly #ring: (Field | undefined)[] = [];
  #inserted = 0;
  #count = 0;
  /** By a field's id, its place in the ring; whether it is still there shows the ring itself. */
  #places = new Int32Array(64 + STATIC_COUNT);
  /** Sizes to announce at the next block (RFC 7541 4.2): the smallest since the last one, and the last. */
  #lowest = -1;
  #changed = false;

  get tableSize(): number {
    return this.#size;
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  limit(tableSize: number): void {
    const max = Math.min(OWN_LIMIT, tableSize);
    if (max === this.#max && !this.#changed) return;
    this.#lowest = this.#changed ? Math.min(this.#lowest, max) : max;
    this.#changed = true;
    this.#max = max;
    this.#evict(0);
  }

  /** Upper bound of the bytes that `encode` writes for fields of this total `size`. */
  static bound(size: number): number {
    // A literal takes its bytes, two lengths and a first byte: less than the 32 that `size` counts for it.
    return size + 12;
  }

  /** Writes the block of the first `count` fields at `at`; the offset after it. `out` must have room for `bound`. */
  encode(fields: readonly Field[], count: number, out: Buffer, at: number): number {
    let p = this.#changed ? this.#announce(out, at) : at;
    for (let i = 0; i < count; i += 1) {
      const field = fields[i]!;
      const { id } = field;
      if (id === 0) p = literal(field, out, p, field.sensitive ? 0x10 : 0, 4, false);
      else if (id <= STATIC_COUNT) {
        out[p] = 128 | id;
        p += 1;
      } else p = this.#shared(field, out, p);
    }
    return p;
  }

  #shared(field: Field, out: Buffer, at: number): number {
    const { id } = field;
    if (id < this.#places.length) {
      const place = this.#places[id]!;
      const back = this.#inserted - place;
      if (back <= this.#count && back > 0 && this.#ring[place & MASK] === field) {
        return writeInteger(out, at, 128, 7, STATIC_COUNT + back);
      }
    }
    if (field.size > this.#max) return literal(field, out, at, 0, 4, false);
    const end = literal(field, out, at, 64, 6, true);
    this.#insert(field);
    return end;
  }

  #insert(field: Field): void {
    this.#evict(field.size);
    if (field.id >= this.#places.length) {
      const places = new Int32Array(Math.max(field.id + 1, this.#places.length * 2));
      places.set(this.#places);
      this.#places = places;
    }
    this.#places[field.id] = this.#inserted;
    this.#ring[this.#inserted & MASK] = field;
    this.#inserted += 1;
    this.#count += 1;
    this.#size += field.size;
  }

  #evict(more: number): void {
    while (this.#count > 0 && this.#size + more > this.#max) {
      const oldest = (this.#inserted - this.#count) & MASK;
      this.#size -= this.#ring[oldest]!.size;
      this.#ring[oldest] = undefined;
      this.#count -= 1;
    }
  }

  #announce(out: Buffer, at: number): number {
    this.#changed = false;
    const p = this.#lowest < this.#max ? writeInteger(out, at, 32, 5, this.#lowest) : at;
    return writeInteger(out, p, 32, 5, this.#max);
  }
}

/**
 * `coded`: as Huffman code where that is shorter. Only what goes into the table is, once per connection; for the rest
 * the time at both ends is dearer than the bytes between.
 */
function literal(
  field: Field,
  out: Buffer,
  at: number,
  first: number,
  prefix: number,
  coded: boolean,
): number {
  let p = writeInteger(out, at, first, prefix, field.nameIndex);
  if (field.nameIndex === 0) p = writeString(field.name, out, p, coded);
  p = writeString(field.value, out, p, coded);
  return p;
}

function writeString(text: string, out: Buffer, at: number, coded: boolean): number {
  const { length } = text;
  if (coded) {
    const short = huffmanLength(text);
    if (short < length) return huffmanEncode(text, out, writeInteger(out, at, 128, 7, short));
  }
  const p = writeInteger(out, at, 0, 7, length);
  if (length > 48) return p + out.write(text, p, length, 'latin1');
  for (let i = 0; i < length; i += 1) out[p + i] = text.charCodeAt(i);
  return p + length;
}
