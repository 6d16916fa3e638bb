/**
 * The functions of the wasm module that are called once per row or value, without the conversions that the package's `capi` wraps
 * around them. Pointers are numbers; a 64-bit integer is a bigint.
 */
import type { Sqlite3Static } from "@sqlite.org/sqlite-wasm";

export interface SqliteExports {
  sqlite3_step(statement: number): number;
  sqlite3_column_count(statement: number): number;
  sqlite3_column_type(statement: number, i: number): number;
  sqlite3_column_double(statement: number, i: number): number;
  sqlite3_column_int64(statement: number, i: number): bigint;
  sqlite3_column_text(statement: number, i: number): number;
  sqlite3_column_blob(statement: number, i: number): number;
  sqlite3_column_bytes(statement: number, i: number): number;
  sqlite3_prepare_v3(
    db: number,
    sql: number,
    bytes: number,
    flags: number,
    ppStatement: number,
    ppTail: number,
  ): number;
  sqlite3_bind_text(statement: number, i: number, text: number, bytes: number, destructor: number): number;
  sqlite3_bind_blob(statement: number, i: number, blob: number, bytes: number, destructor: number): number;
  sqlite3_bind_int64(statement: number, i: number, value: bigint): number;
  sqlite3_bind_double(statement: number, i: number, value: number): number;
  sqlite3_bind_null(statement: number, i: number): number;
  sqlite3_bind_zeroblob(statement: number, i: number, bytes: number): number;
  sqlite3_bind_parameter_count(statement: number): number;
  sqlite3_finalize(statement: number): number;
  sqlite3_reset(statement: number): number;
  sqlite3_clear_bindings(statement: number): number;
  sqlite3_stmt_readonly(statement: number): number;
  sqlite3_stmt_isexplain(statement: number): number;
  sqlite3_stmt_status(statement: number, counter: number, reset: number): number;
  sqlite3_open_v2(name: number, ppDb: number, flags: number, vfs: number): number;
  sqlite3_close_v2(db: number): number;
  sqlite3_exec(db: number, sql: number, callback: number, argument: number, ppError: number): number;
  sqlite3_get_autocommit(db: number): number;
  sqlite3_changes64(db: number): bigint;
  sqlite3_total_changes64(db: number): bigint;
  sqlite3_last_insert_rowid(db: number): bigint;
  sqlite3_file_control(db: number, schema: number, operation: number, argument: number): number;
  sqlite3_extended_result_codes(db: number, on: number): number;
  sqlite3_progress_handler(db: number, operations: number, handler: number, argument: number): void;
}

export function exportsOf(sqlite3: Sqlite3Static): SqliteExports {
  return sqlite3.wasm.exports as SqliteExports;
}
