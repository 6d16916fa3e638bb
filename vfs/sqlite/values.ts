/** Values between SQLite and JavaScript: what a column reads as, and what a parameter may be. */
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import { PagefoldError } from "../../src/base/errors.ts";
import { BLOB, FLOAT, INTEGER, NOMEM, TEXT } from "./codes.ts";
import { exportsOf, type SqliteExports } from "./exports.ts";

/** A column's value: integers beyond ±(2^53 - 1) are bigints, blobs are byte arrays of their own. */
export type SqlValue = null | number | bigint | string | Uint8Array;
/** A parameter's value; booleans become 1 and 0, undefined NULL. */
export type SqlParameter = SqlValue | boolean | undefined;
/** By position, or by name (with or without its `:`, `@` or `$`). */
export type SqlParameters = readonly SqlParameter[] | Readonly<Record<string, SqlParameter>>;

const MIN_INT64 = -(2n ** 63n);
const MAX_INT64 = 2n ** 63n - 1n;
/** SQLite makes its own copy before the call returns. */
const TRANSIENT = -1;

export class Values {
  readonly #wasm: Sqlite3Static["wasm"];
  readonly #exports: SqliteExports;
  // A byte order mark is part of the text.
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  readonly #encoder = new TextEncoder();

  constructor(sqlite3: Sqlite3Static) {
    this.#wasm = sqlite3.wasm;
    this.#exports = exportsOf(sqlite3);
  }

  /** The value of column `i` of a statement that stands on a row. */
  column(statement: number, i: number): SqlValue {
    const exports = this.#exports;
    switch (exports.sqlite3_column_type(statement, i)) {
      case INTEGER: {
        // As a double it is exact where it is safe, and never rounded to a safe one; bigints are made only where needed.
        const value = exports.sqlite3_column_double(statement, i);
        return Number.isSafeInteger(value) ? value : exports.sqlite3_column_int64(statement, i);
      }
      case FLOAT:
        return exports.sqlite3_column_double(statement, i);
      case TEXT: {
        const pointer = exports.sqlite3_column_text(statement, i);
        if (pointer === 0) throw outOfMemory();
        return this.#decoder.decode(this.#bytes(pointer, exports.sqlite3_column_bytes(statement, i)));
      }
      case BLOB: {
        const pointer = exports.sqlite3_column_blob(statement, i);
        return this.#bytes(pointer, exports.sqlite3_column_bytes(statement, i)).slice();
      }
      default:
        return null;
    }
  }

  /** Binds parameter `i` (from 1); answers SQLite's result code. @throws `invalid` for what SQLite cannot hold */
  bind(statement: number, i: number, name: string, value: SqlParameter): number {
    const exports = this.#exports;
    switch (typeof value) {
      case "undefined":
        return exports.sqlite3_bind_null(statement, i);
      case "boolean":
        return exports.sqlite3_bind_int64(statement, i, value ? 1n : 0n);
      case "number":
        return Number.isSafeInteger(value) && !Object.is(value, -0)
          ? exports.sqlite3_bind_int64(statement, i, BigInt(value))
          : exports.sqlite3_bind_double(statement, i, value);
      case "bigint":
        if (value < MIN_INT64 || value > MAX_INT64)
          throw invalid(`parameter ${name} is ${value}, which needs more than 64 bits`);
        return exports.sqlite3_bind_int64(statement, i, value);
      case "string":
        return this.#bindBytes(this.#encoder.encode(value), (pointer, length) =>
          exports.sqlite3_bind_text(statement, i, pointer, length, TRANSIENT),
        );
      default:
        if (value === null) return exports.sqlite3_bind_null(statement, i);
        if (!(value instanceof Uint8Array)) {
          throw invalid(
            `parameter ${name} is ${Object.prototype.toString.call(value)}; give null, a number, bigint, string, boolean or Uint8Array`,
          );
        }
        if (value.length === 0) return exports.sqlite3_bind_zeroblob(statement, i, 0);
        return this.#bindBytes(value, (pointer, length) =>
          exports.sqlite3_bind_blob(statement, i, pointer, length, TRANSIENT),
        );
    }
  }

  #bindBytes(bytes: Uint8Array, bind: (pointer: number, length: number) => number): number {
    // One byte more: an empty text still needs a pointer, since NULL would bind NULL.
    const pointer = this.#wasm.alloc.impl(bytes.length + 1);
    if (pointer === 0) return NOMEM;
    try {
      this.#wasm.heap8u().set(bytes, pointer);
      return bind(pointer, bytes.length);
    } finally {
      this.#wasm.dealloc(pointer);
    }
  }

  #bytes(pointer: number, length: number): Uint8Array {
    return this.#wasm.heap8u().subarray(pointer, pointer + length);
  }
}

function invalid(message: string): PagefoldError {
  return new PagefoldError("invalid", message);
}

function outOfMemory(): PagefoldError {
  return new PagefoldError(
    "quota",
    "a value is too large for SQLite's memory; read it in parts with substr()",
  );
}
