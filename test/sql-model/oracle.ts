/**
 * SQLite's own behaviour: a database of the same wasm on its in-memory VFS, with nothing of Pagefold below it. Its file can be taken as an
 * image and put back, which is how the model rolls a replica back, forward, or over a crash.
 */
import type { Database, Sqlite3Static } from "@sqlite.org/sqlite-wasm";
import type { SqlValue } from "../../vfs/sqlite/values.ts";

/** What running one statement gave. */
export interface Outcome {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly SqlValue[])[];
  readonly changes: number;
  readonly lastInsertRowid: number | bigint;
  /** SQLite's extended result code; 0 where the statement succeeded. Then the rest is empty. */
  readonly code: number;
  readonly message: string;
}

/** A whole database file; empty for a database without a page. */
export type Image = Uint8Array;

export const EMPTY: Image = new Uint8Array(0);

export function failed(code: number, message: string): Outcome {
  return { columns: [], rows: [], changes: 0, lastInsertRowid: 0, code, message };
}

export class Oracle {
  readonly #sqlite3: Sqlite3Static;
  readonly #db: Database;

  constructor(sqlite3: Sqlite3Static, image: Image = EMPTY) {
    this.#sqlite3 = sqlite3;
    this.#db = new sqlite3.oo1.DB("model", "c", "memdb");
    // As a connection through the VFS begins.
    this.#db.exec("PRAGMA temp_store = FILE");
    this.restore(image);
  }

  get #pointer(): number {
    return this.#db.pointer as number;
  }

  get inTransaction(): boolean {
    return this.#sqlite3.capi.sqlite3_get_autocommit(this.#pointer) === 0;
  }

  /** Runs one statement. */
  run(sql: string): Outcome {
    const { capi, SQLite3Error } = this.#sqlite3;
    const rows: SqlValue[][] = [];
    const before = capi.sqlite3_total_changes64(this.#pointer);
    try {
      const statement = this.#db.prepare(sql);
      try {
        while (statement.step()) rows.push(statement.get([]) as SqlValue[]);
        // After the steps: a schema that has changed since the statement was prepared is known by now.
        const columns = statement.columnCount > 0 ? statement.getColumnNames([]) : [];
        const changed = capi.sqlite3_total_changes64(this.#pointer) !== before;
        const changes = changed ? Number(capi.sqlite3_changes64(this.#pointer)) : 0;
        const readOnly = capi.sqlite3_stmt_readonly(statement.pointer as number) !== 0;
        const lastInsertRowid = readOnly ? 0 : exact(capi.sqlite3_last_insert_rowid(this.#pointer));
        return { columns, rows, changes, lastInsertRowid, code: 0, message: "" };
      } finally {
        statement.finalize();
      }
    } catch (error) {
      if (!(error instanceof SQLite3Error)) throw error;
      return failed(error.resultCode ?? 0, error.message);
    }
  }

  /** The database file as it is; not within a transaction, which would show in it. */
  image(): Image {
    if (this.inTransaction) throw new Error("an image was taken within a transaction");
    const { capi, wasm } = this.#sqlite3;
    const pSize = wasm.alloc(8);
    try {
      const pBytes = capi.sqlite3_serialize(this.#pointer, "main", pSize, 0);
      if (pBytes === 0) return EMPTY;
      const size = Number(wasm.peek(pSize, "i64"));
      const image = wasm.heap8u().slice(pBytes, pBytes + size);
      capi.sqlite3_free(pBytes);
      return image;
    } finally {
      wasm.dealloc(pSize);
    }
  }

  /** Makes the main database this one. The connection stays, with its temporary tables. */
  restore(image: Image): void {
    const { capi, wasm } = this.#sqlite3;
    const pBytes = image.length === 0 ? 0 : wasm.allocFromTypedArray(image);
    const flags = capi.SQLITE_DESERIALIZE_FREEONCLOSE | capi.SQLITE_DESERIALIZE_RESIZEABLE;
    const code = capi.sqlite3_deserialize(this.#pointer, "main", pBytes, image.length, image.length, flags);
    this.#db.checkRc(code);
    // Temporary triggers still point to the tables that were there, and the page size is known only when a page was read.
    this.#db.exec("PRAGMA writable_schema = RESET; SELECT count(*) FROM sqlite_schema");
  }

  close(): void {
    this.#db.close();
  }
}

function exact(rowid: bigint): number | bigint {
  return Number.isSafeInteger(Number(rowid)) ? Number(rowid) : rowid;
}
