/**
 * Queries whose results are wanted again whenever they change. They share one read-only connection, which looks at nothing but the state that the session
 * shows; a query is run again only when a page that it read was replaced, and told only when its rows are others.
 */
import { abortedError, PagefoldError } from "../../src/base/errors.ts";
import { Semaphore } from "../../src/base/semaphore.ts";
import type { Snapshot } from "../../src/volume/snapshot.ts";
import type { Connection, SqlRows } from "../sqlite/connection.ts";
import type { SqlParameters } from "../sqlite/values.ts";
import type { CallContext } from "./connection-queue.ts";
import { equalRows } from "./equal-rows.ts";
import { type ReadSet, RecordingSource } from "./read-set.ts";

export { RecordingSource };

interface LiveQuery {
  readonly sql: string;
  readonly parameters: SqlParameters;
  last: SqlRows | undefined;
  read: ReadSet | undefined;
  /** Resolves the wait for a change; absent while nobody waits. */
  wake: (() => void) | undefined;
  closed: boolean;
}

export interface LiveQueriesOptions {
  /** The state that the session shows now. */
  readonly current: () => Snapshot;
  /** Opens the connection on its first use. */
  readonly connect: () => Promise<{ readonly connection: Connection; readonly recording: RecordingSource }>;
}

export class LiveQueries {
  readonly #options: LiveQueriesOptions;
  readonly #queries = new Map<number, LiveQuery>();
  readonly #turns = new Semaphore(1, "live queries");
  #connected: ReturnType<LiveQueriesOptions["connect"]> | undefined;
  #nextId = 1;

  constructor(options: LiveQueriesOptions) {
    this.#options = options;
  }

  open(sql: string, parameters: SqlParameters): number {
    const id = this.#nextId++;
    const query = { sql, parameters, last: undefined, read: undefined, wake: undefined, closed: false };
    this.#queries.set(id, query);
    return id;
  }

  /** The first result at once, later ones when they differ from the one before. */
  async next(id: number, context: CallContext): Promise<SqlRows> {
    const query = this.#queries.get(id);
    if (query === undefined) throw ended();
    for (;;) {
      await this.#change(query, context.signal);
      const rows = await this.#run(query, context);
      const { last } = query;
      query.last = rows;
      if (last === undefined || !equalRows(last, rows)) return rows;
    }
  }

  close(id: number): void {
    const query = this.#queries.get(id);
    if (query === undefined) return;
    this.#queries.delete(id);
    query.closed = true;
    query.wake?.();
  }

  /** The volume may have moved: wakes the queries that this concerns. */
  check(): void {
    for (const query of this.#queries.values()) if (this.#isStale(query)) query.wake?.();
  }

  /** The session shows another volume from now on: every query is run again, on that. */
  async moved(): Promise<void> {
    await this.#turns.run(() => this.#disconnect());
    for (const query of this.#queries.values()) {
      query.read = undefined;
      query.wake?.();
    }
  }

  async end(): Promise<void> {
    for (const id of [...this.#queries.keys()]) this.close(id);
    // After the query that runs, if one does.
    await this.#turns.run(() => this.#disconnect());
  }

  async #disconnect(): Promise<void> {
    const connected = await this.#connected?.catch(() => undefined);
    this.#connected = undefined;
    await connected?.connection.close();
  }

  #isStale({ read }: LiveQuery): boolean {
    return read === undefined || read.changedIn(this.#options.current());
  }

  /** Resolves when the query is to be run. */
  async #change(query: LiveQuery, signal: AbortSignal | undefined): Promise<void> {
    while (!this.#isStale(query)) {
      await new Promise<void>((resolve, reject) => {
        const onAbort = (): void => reject(abortedError("the live query", signal?.reason));
        query.wake = () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        };
        if (signal?.aborted) onAbort();
        else signal?.addEventListener("abort", onAbort, { once: true });
      });
      query.wake = undefined;
      if (query.closed) throw ended();
    }
  }

  async #run(query: LiveQuery, context: CallContext): Promise<SqlRows> {
    return this.#turns.run(async () => {
      if (query.closed) throw ended();
      this.#connected ??= this.#options.connect();
      const { connection, recording } = await this.#connected.catch((error: unknown) => {
        this.#connected = undefined;
        throw error;
      });
      connection.context = context;
      recording.begin();
      try {
        const results = await connection.run(query.sql, query.parameters);
        const last = results.findLast(({ columns }) => columns.length > 0);
        return { columns: last?.columns ?? [], rows: last?.rows ?? [] };
      } finally {
        // Also after a failure: what was read up to it decides when to try again.
        query.read = recording.end();
      }
    }, context.signal);
  }
}

function ended(): PagefoldError {
  return new PagefoldError("closed", "this live query was ended; begin a new one");
}
