/**
 * Plain data as bytes, so that what is too large for one message between tabs can be cut where it must be. Of the values that travel: null,
 * undefined, booleans, numbers, bigints, strings, byte arrays, arrays, and objects of those. Both sides are the same version of this code, or
 * of another one that `TAB_PROTOCOL` keeps apart.
 *
 *   tag     u8   0 undefined · 1 null · 2 true · 3 false · 4 number · 5 string · 6 bigint · 7 bytes · 8 array · 9 object
 *   number  f64, little-endian
 *   string  u32 length in bytes, UTF-8; a bigint is its decimal digits as a string
 *   bytes   u32 length, the bytes
 *   array   u32 count, the values; an object: u32 count, and for each property its name (as a string, without tag) and its value
 */
import { PagefoldError } from "../../../src/base/errors.ts";
import { unsendable } from "../../wire-error.ts";

const [UNDEFINED, NULL, TRUE, FALSE, NUMBER, STRING, BIGINT, BYTES, ARRAY, OBJECT] = [
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
];

/** Not more than so many bytes; counting ends where `limit` is passed. Cheap for what is small. */
export function sizeAtLeast(value: unknown, limit: number): number {
  if (typeof value === "string") return value.length + 5;
  if (value instanceof Uint8Array) return value.length + 5;
  if (typeof value !== "object" || value === null) return 9;
  let size = 5;
  for (const part of Array.isArray(value) ? value : Object.values(value)) {
    size += sizeAtLeast(part, limit - size);
    if (size > limit) break;
  }
  return size;
}

export function pack(value: unknown): Uint8Array {
  const writer = new Writer();
  writer.value(value);
  return writer.bytes();
}

/** @throws `corrupt` for what `pack` has not written */
export function unpack(bytes: Uint8Array): unknown {
  const reader = new Reader(bytes);
  const value = reader.value();
  if (!reader.atEnd) throw damaged();
  return value;
}

class Writer {
  #buffer = new Uint8Array(64 * 1024);
  #view = new DataView(this.#buffer.buffer);
  #at = 0;
  readonly #encoder = new TextEncoder();

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#at);
  }

  value(value: unknown): void {
    switch (typeof value) {
      case "undefined":
        this.#tag(UNDEFINED);
        break;
      case "boolean":
        this.#tag(value ? TRUE : FALSE);
        break;
      case "number":
        this.#tag(NUMBER);
        this.#room(8);
        this.#view.setFloat64(this.#at, value, true);
        this.#at += 8;
        break;
      case "string":
        this.#tag(STRING);
        this.#string(value);
        break;
      case "bigint":
        this.#tag(BIGINT);
        this.#string(value.toString());
        break;
      case "object":
        if (value === null) this.#tag(NULL);
        else this.#object(value);
        break;
      default:
        throw unsendable(`a ${typeof value} among them`);
    }
  }

  #object(value: object): void {
    if (value instanceof Uint8Array) {
      this.#tag(BYTES);
      this.#count(value.length);
      this.#room(value.length);
      this.#buffer.set(value, this.#at);
      this.#at += value.length;
      return;
    }
    if (Array.isArray(value)) {
      this.#tag(ARRAY);
      this.#count(value.length);
      for (const part of value) this.value(part);
      return;
    }
    const entries = Object.entries(value);
    this.#tag(OBJECT);
    this.#count(entries.length);
    for (const [name, part] of entries) {
      this.#string(name);
      this.value(part);
    }
  }

  #tag(tag: number): void {
    this.#room(1);
    this.#buffer[this.#at++] = tag;
  }

  #count(count: number): void {
    this.#room(4);
    this.#view.setUint32(this.#at, count, true);
    this.#at += 4;
  }

  #string(text: string): void {
    // UTF-8 has at most three bytes for each unit of a string.
    this.#room(4 + text.length * 3);
    const { written } = this.#encoder.encodeInto(text, this.#buffer.subarray(this.#at + 4));
    this.#view.setUint32(this.#at, written, true);
    this.#at += 4 + written;
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const grown = new Uint8Array(Math.max(this.#buffer.length * 2, this.#at + bytes));
    grown.set(this.#buffer.subarray(0, this.#at));
    this.#buffer = grown;
    this.#view = new DataView(grown.buffer);
  }
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  // A byte order mark is part of the text.
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  value(): unknown {
    const tag = this.#bytes[this.#take(1)];
    switch (tag) {
      case UNDEFINED:
        return undefined;
      case NULL:
        return null;
      case TRUE:
      case FALSE:
        return tag === TRUE;
      case NUMBER:
        return this.#view.getFloat64(this.#take(8), true);
      case STRING:
        return this.#string();
      case BIGINT:
        return BigInt(this.#string());
      case BYTES: {
        const length = this.#count();
        const from = this.#take(length);
        return this.#bytes.slice(from, from + length);
      }
      case ARRAY: {
        const values: unknown[] = [];
        for (let left = this.#count(); left > 0; left--) values.push(this.value());
        return values;
      }
      case OBJECT: {
        const object: Record<string, unknown> = {};
        for (let left = this.#count(); left > 0; left--) {
          const name = this.#string();
          // A parameter of that name would set the prototype.
          if (name === "__proto__")
            Object.defineProperty(object, name, { value: this.value(), enumerable: true });
          else object[name] = this.value();
        }
        return object;
      }
      default:
        throw damaged();
    }
  }

  #count(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  #string(): string {
    const length = this.#count();
    const from = this.#take(length);
    return this.#decoder.decode(this.#bytes.subarray(from, from + length));
  }

  /** Answers where they begin. */
  #take(bytes: number): number {
    const from = this.#at;
    if (from + bytes > this.#bytes.length) throw damaged();
    this.#at += bytes;
    return from;
  }
}

function damaged(): PagefoldError {
  return new PagefoldError(
    "corrupt",
    "a message of another tab cannot be read; reload the tabs of this site, so that all run the same version",
  );
}
