/** Statements that are read a few rows at a time, by number. Each ends at its last row, at an error, or when it is closed. */
import { PagefoldError } from "../../src/base/errors.ts";
import type { SqlRows } from "../sqlite/connection.ts";
import type { Statement } from "../sqlite/statement.ts";
import type { SqlValue } from "../sqlite/values.ts";
import type { CallContext, ConnectionQueue } from "./connection-queue.ts";

interface Cursor {
  readonly statement: Statement;
  readonly queue: ConnectionQueue;
  readonly transaction: number | undefined;
}

/** Of text and blobs in one reply: rows may be large. */
const BYTES_MAX = 4 * 1024 * 1024;

export class Cursors {
  readonly #cursors = new Map<number, Cursor>();
  #nextId = 1;

  /** Takes the statement over. */
  add(statement: Statement, queue: ConnectionQueue, transaction: number | undefined): number {
    const id = this.#nextId++;
    this.#cursors.set(id, { statement, queue, transaction });
    return id;
  }

  async next(id: number, most: number, context: CallContext): Promise<SqlRows & { readonly done: boolean }> {
    const cursor = this.#cursors.get(id);
    if (cursor === undefined) throw ended();
    const rows: SqlValue[][] = [];
    try {
      const { statement, queue, transaction } = cursor;
      const reply = await queue.run(transaction, context, async () => {
        if (!this.#cursors.has(id)) throw ended();
        const more = await statement.rows(rows, most, BYTES_MAX);
        return { columns: statement.columns, rows, done: !more };
      });
      if (reply.done) await this.close(id);
      return reply;
    } catch (error) {
      await this.close(id);
      throw error;
    }
  }

  async close(id: number): Promise<undefined> {
    const cursor = this.#cursors.get(id);
    if (cursor === undefined) return;
    this.#cursors.delete(id);
    await cursor.queue.alone(() => cursor.statement.finalize());
  }

  /** Those of one connection. */
  async closeOf(queue: ConnectionQueue): Promise<void> {
    for (const [id, cursor] of this.#cursors) if (cursor.queue === queue) await this.close(id);
  }

  /** Those of one transaction, which has ended. */
  async closeTransaction(transaction: number): Promise<void> {
    for (const [id, cursor] of this.#cursors) if (cursor.transaction === transaction) await this.close(id);
  }

  async closeAll(): Promise<void> {
    for (const id of [...this.#cursors.keys()]) await this.close(id);
  }
}

function ended(): PagefoldError {
  return new PagefoldError("closed", "this iteration has ended; begin it again with iterate()");
}
