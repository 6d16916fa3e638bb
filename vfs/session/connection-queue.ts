/**
 * Whose turn it is on a connection: one request at a time, first come first served; a transaction keeps the turn until it ends, and its own
 * statements pass. Whatever passes, one statement runs after the other, and nothing is closed under one that runs.
 */
import { abortedError, isPagefoldError, PagefoldError } from "../../src/base/errors.ts";
import { Semaphore } from "../../src/base/semaphore.ts";
import type { Connection } from "../sqlite/connection.ts";
import { openTransaction } from "../sqlite/errors.ts";
import { timeout } from "../timeout.ts";

/** How a request is ended before its time. */
export interface CallContext {
  readonly signal?: AbortSignal | undefined;
  /** Whether the statement that runs for this request is to end; asked in the middle of SQLite. */
  readonly interrupted?: (() => boolean) | undefined;
}

interface OpenTransaction {
  readonly id: number;
  readonly release: () => void;
}

export class ConnectionQueue {
  readonly connection: Connection;
  readonly #busyTimeoutMs: number;
  readonly #turns = new Semaphore(1, "the connection");
  /** Held by the statement that runs, within a transaction or not. */
  readonly #statements = new Semaphore(1, "the statement before it");
  #transaction: OpenTransaction | undefined;
  #nextTransaction = 1;
  #closing = false;

  constructor(connection: Connection, busyTimeoutMs: number) {
    this.connection = connection;
    this.#busyTimeoutMs = busyTimeoutMs;
  }

  /**
   * Runs `work` when its turn has come.
   * @param transaction the number of the open transaction that it belongs to
   * @throws `busy` where another transaction does not end in time
   */
  async run<T>(
    transaction: number | undefined,
    context: CallContext,
    work: (connection: Connection) => Promise<T>,
  ): Promise<T> {
    if (transaction !== undefined) this.#check(transaction);
    const release = transaction === undefined ? await this.#turn(context.signal) : undefined;
    try {
      const permit = this.#statements.tryAcquire() ?? (await this.#statements.acquire(context.signal));
      try {
        this.#enter(context);
        if (transaction !== undefined) {
          this.#check(transaction);
          // What came next would be committed by itself.
          if (!this.connection.inTransaction) throw rolledBack();
        }
        return await work(this.connection);
      } finally {
        permit();
      }
    } finally {
      release?.();
    }
  }

  /** Runs what belongs to no request when no statement runs, whoever has the turn: a statement that is let go. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    return this.#statements.run(work);
  }

  /**
   * Resolves when no transaction on this connection has the writer's turn, for which moving the volume waits: one that waits for the move in its
   * turn would never end. @throws `busy` where it does not end in time
   */
  async notWriting(signal: AbortSignal | undefined): Promise<void> {
    if (!this.connection.file.writing) return;
    if (this.#transaction !== undefined) (await this.#turn(signal))();
    else if (this.connection.inTransaction) throw openTransaction();
  }

  async begin(
    mode: "immediate" | "deferred",
    context: CallContext,
  ): Promise<{ readonly transaction: number }> {
    const release = await this.#turn(context.signal);
    try {
      await this.#statements.run(async () => {
        this.#enter(context);
        await this.connection.run(`BEGIN ${mode.toUpperCase()}`);
      }, context.signal);
    } catch (error) {
      release();
      throw error;
    }
    const id = this.#nextTransaction++;
    this.#transaction = { id, release };
    return { transaction: id };
  }

  /** Whatever happens, the transaction has ended afterwards. */
  async end(transaction: number, how: "commit" | "rollback", context: CallContext): Promise<void> {
    const { release } = this.#check(transaction);
    const permit = await this.#statements.acquire();
    try {
      if (this.#closing) throw closing();
      this.connection.context = how === "commit" ? context : {};
      // SQLite may have rolled it back itself, after an error that left it no choice.
      if (this.connection.inTransaction) {
        await this.connection.run(how.toUpperCase());
      } else if (how === "commit") {
        throw rolledBack();
      }
    } finally {
      try {
        this.connection.context = {};
        if (this.connection.inTransaction) await this.connection.run("ROLLBACK");
      } finally {
        this.#transaction = undefined;
        permit();
        release();
      }
    }
  }

  /** Waits for the statement that runs, which whoever closes has interrupted; what still waits for its turn is `closed`. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.alone(() => this.connection.close());
  }

  /** @throws `aborted` where the request was to end while it waited: a signal's message may still be on its way */
  #enter(context: CallContext): void {
    if (this.#closing) throw closing();
    if (context.signal?.aborted || context.interrupted?.() === true) throw abortedError("the query");
    this.connection.context = context;
  }

  async #turn(signal: AbortSignal | undefined): Promise<() => void> {
    const free = this.#turns.tryAcquire();
    if (free !== undefined) return free;
    if (this.#transaction === undefined) return this.#turns.acquire(signal);
    const limit = timeout(this.#busyTimeoutMs);
    try {
      return await this.#turns.acquire(
        signal === undefined ? limit.signal : AbortSignal.any([signal, limit.signal]),
      );
    } catch (error) {
      if (!isPagefoldError(error, "aborted") || signal?.aborted) throw error;
      throw new PagefoldError(
        "busy",
        `a transaction has been open on this database for more than ${this.#busyTimeoutMs} ms; within its callback use the transaction's own methods, not the database's`,
      );
    } finally {
      limit.cancel();
    }
  }

  #check(transaction: number): OpenTransaction {
    if (this.#transaction?.id === transaction) return this.#transaction;
    throw new PagefoldError("closed", "this transaction has ended; begin a new one");
  }
}

function rolledBack(): PagefoldError {
  return new PagefoldError(
    "conflict",
    "the transaction was rolled back already, after a statement in it failed; run it again",
  );
}

function closing(): PagefoldError {
  return new PagefoldError("closed", "the connection is being closed; open the database again");
}
