/**
 * What the SQL cases run on: a way of running SQL (thread and bridge), object spaces of the test's site, and a database that the test's process
 * imported there. The same in pages and in Node, so that one suite covers every bridge; `sql-site.ts` is the server's side.
 */
import type { ListEntry } from "../../../src/index.ts";
import type { DatabaseStore } from "../../../vfs/connect.ts";
import type { Database, DatabaseOptions } from "../../../vfs/database.ts";
import { HttpStore } from "../http-store.ts";

/** One way of running SQL. */
export interface SqlRun {
  readonly name: string;
  /** Where the site is; asked inside cases only. */
  readonly origin: () => string;
  readonly open: (store: DatabaseStore, name: string, options: DatabaseOptions) => Promise<Database>;
  /** `worker`, `bridge` and the like. */
  readonly options: () => DatabaseOptions;
  readonly bridge: NonNullable<DatabaseOptions["bridge"]>;
  readonly worker: boolean;
}

/** One of the site's object spaces, which can be told to misbehave. */
export class SqlSpace extends HttpStore {
  /**
   * From now on, after `after` more of them, data requests of this kind are answered with a status, cut off (two of three), held until the next
   * rule, or delayed.
   */
  async rule(kind: "gets" | "puts", what: 403 | 503 | "drop" | "hold" | "slow", after = 0): Promise<void> {
    await this.#command(`${kind}-${what}-after-${after}`);
  }

  /** Ends the rule; what was held goes on. */
  async clear(): Promise<void> {
    await this.#command("none");
  }

  async #command(text: string): Promise<void> {
    const answer = await fetch(`${this.url}rules/${text}`, { method: "PUT" });
    if (answer.status !== 204) throw new Error(`the site answered ${answer.status} to the rule ${text}`);
  }

  /** Changes bytes in the middle of every object that holds page data, away from what says where the pages are. */
  async damage(): Promise<void> {
    const objects: ListEntry[] = await this.list("volumes/");
    for (const { key } of objects.filter(({ key, size }) => key.includes("/segments/") && size > 10_000)) {
      const bytes = await this.get(key);
      if (bytes === undefined) continue;
      for (let at = Math.floor(bytes.length * 0.3); at < bytes.length * 0.7; at += 5000)
        bytes[at] = (bytes[at] ?? 0) ^ 1;
      await this.put(key, bytes);
    }
  }
}

/** Databases and the like that a case opened; all closed at its end, whatever happens. */
export class Opened {
  readonly #run: SqlRun;
  readonly #closers: (() => Promise<void>)[] = [];

  constructor(run: SqlRun) {
    this.#run = run;
  }

  /** A space with nothing in it. */
  space(): SqlSpace {
    return new SqlSpace(`${this.#run.origin()}/objects/${crypto.randomUUID()}/`);
  }

  /** A space of the case's own with the imported database, tagged "words". */
  imported(): SqlSpace {
    return new SqlSpace(`${this.#run.origin()}/objects/imported-${crypto.randomUUID()}/`);
  }

  async open(store: DatabaseStore, name = "main", options: DatabaseOptions = {}): Promise<Database> {
    const database = await this.#run.open(store, name, { ...this.#run.options(), ...options });
    this.closing(() => database.close());
    return database;
  }

  /** A new database in a space of its own. */
  create(options: DatabaseOptions = {}): Promise<Database> {
    return this.open(this.space(), "main", { create: true, ...options });
  }

  /** The imported database. */
  words(options: DatabaseOptions = {}): Promise<Database> {
    return this.open(this.imported(), "words", options);
  }

  closing(close: () => Promise<void>): void {
    this.#closers.push(close);
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close();
  }
}

/** The body of a case that opens things. */
export function opening(run: SqlRun, body: (opened: Opened) => Promise<void>): () => Promise<void> {
  return async () => {
    const opened = new Opened(run);
    try {
      await body(opened);
    } finally {
      await opened.close();
    }
  };
}

/** Rows of table `words` of the imported database: id from 1, word, n, filler. */
export const WORDS = 20_000;
export const WORDS_SQL = `PRAGMA page_size = 4096;
CREATE TABLE words(id INTEGER PRIMARY KEY, word TEXT, n INTEGER, filler TEXT);
WITH RECURSIVE c(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM c WHERE id < ${WORDS})
INSERT INTO words SELECT id, printf('%08x', id * 2654435761 % 4294967296), id * 7 % 1000, hex(zeroblob(60)) FROM c;
CREATE INDEX words_by_word ON words(word);`;

export function wordOf(id: number): string {
  return ((BigInt(id) * 2_654_435_761n) % 4_294_967_296n).toString(16).padStart(8, "0");
}

export function numberOf(id: number): number {
  return (id * 7) % 1000;
}

/** Of all words. */
export const SUM = (WORDS / 1000) * 499_500;
export const SUM_SQL = "SELECT count(*) AS rows, sum(n) AS sum FROM words";
/** A query without an end. */
export const ENDLESS =
  "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT count(*) FROM c";

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
