/** Live queries: rows again when they are others, whoever changed them, and silence otherwise. */
import { expect, it } from "vitest";
import type { Database, SqlRow } from "../../vfs/index.ts";
import { type Bridge, catchUp, openOver, overBridges } from "./bridges.ts";
import type { TestRemote } from "./remotes.ts";
import { ENDLESS } from "./sample.ts";

const MAKE = "CREATE TABLE t(a); CREATE TABLE u(b); INSERT INTO t VALUES (1), (2)";

/** What a live query has told so far, and how it ended. */
class Watch {
  readonly told: SqlRow[][] = [];
  readonly ended: Promise<unknown>;
  readonly #rows: AsyncGenerator<SqlRow[], void, undefined>;

  constructor(rows: AsyncGenerator<SqlRow[], void, undefined>) {
    this.#rows = rows;
    this.ended = this.#run().then(
      () => undefined,
      (error: unknown) => error,
    );
  }

  /** Waits until it has told so much, and a little longer for more that would be too much. */
  async has(...all: SqlRow[][]): Promise<void> {
    await expect
      .poll(() => this.told.length, { timeout: 30_000, interval: 5 })
      .toBeGreaterThanOrEqual(all.length);
    await new Promise((resolve) => setTimeout(resolve, 15));
    expect(this.told).toEqual(all);
  }

  async #run(): Promise<void> {
    for await (const rows of this.#rows) this.told.push(rows);
  }
}

const COUNT = "SELECT count(*) AS n FROM t";

overBridges("live", (bridge: Bridge) => {
  it("tells at once, on a local commit, on a pull, on a reset; not when nothing of it changed", async () => {
    const remote = await bridge.remote();
    const database = await openOver(bridge, remote);
    await database.exec(MAKE);
    await database.push();
    const watch = new Watch(database.live(COUNT));
    const parameters = new Watch(database.live("SELECT a FROM t WHERE a > :low ORDER BY a", { low: 1 }));
    await watch.has([{ n: 2 }]);
    await parameters.has([{ a: 2 }]);
    await database.exec("INSERT INTO u VALUES (1)");
    await database.exec("UPDATE t SET a = a WHERE a = 1");
    await database.exec("BEGIN; INSERT INTO t VALUES (9); ROLLBACK");
    await watch.has([{ n: 2 }]);
    await database.exec("INSERT INTO t VALUES (3)");
    await watch.has([{ n: 2 }], [{ n: 3 }]);
    await parameters.has([{ a: 2 }], [{ a: 2 }, { a: 3 }]);
    await database.transaction(async (tx) => {
      await tx.exec("INSERT INTO t VALUES (4)");
      await watch.has([{ n: 2 }], [{ n: 3 }]);
      await tx.exec("DELETE FROM t WHERE a = 4; INSERT INTO t VALUES (5)");
    });
    await watch.has([{ n: 2 }], [{ n: 3 }], [{ n: 4 }]);
    await parameters.has([{ a: 2 }], [{ a: 2 }, { a: 3 }], [{ a: 2 }, { a: 3 }, { a: 5 }]);
    await database.push();
    await database.exec("DELETE FROM t WHERE a = 1");
    await database.reset();
    await watch.has([{ n: 2 }], [{ n: 3 }], [{ n: 4 }], [{ n: 3 }], [{ n: 4 }]);
    await pulled(bridge, remote, database, "DELETE FROM t WHERE a > 2");
    if (bridge.kind === "resident-only") {
      // It runs at once, when what was pulled cannot be read yet.
      expect(await watch.ended).toMatchObject({ code: "unavailable" });
      return;
    }
    await watch.has([{ n: 2 }], [{ n: 3 }], [{ n: 4 }], [{ n: 3 }], [{ n: 4 }], [{ n: 2 }]);
    await parameters.has([{ a: 2 }], [{ a: 2 }, { a: 3 }], [{ a: 2 }, { a: 3 }, { a: 5 }], [{ a: 2 }]);
  });

  it("follows virtual tables, joins, views and the schema", async () => {
    const database = await openOver(bridge, await bridge.remote());
    await database.exec(
      `${MAKE}; CREATE VIRTUAL TABLE notes USING fts5(body); CREATE VIEW both AS SELECT a, b FROM t JOIN u ON b = a;
       INSERT INTO notes VALUES ('one word')`,
    );
    const notes = new Watch(database.live("SELECT rowid FROM notes WHERE notes MATCH 'word'"));
    const both = new Watch(database.live("SELECT * FROM both"));
    const tables = new Watch(
      database.live("SELECT count(*) AS n FROM sqlite_schema WHERE name LIKE 'made%'"),
    );
    await notes.has([{ rowid: 1 }]);
    await both.has([]);
    await tables.has([{ n: 0 }]);
    await database.exec("INSERT INTO notes VALUES ('another word'), ('nothing')");
    await notes.has([{ rowid: 1 }], [{ rowid: 1 }, { rowid: 2 }]);
    await database.exec("INSERT INTO u VALUES (2)");
    await both.has([], [{ a: 2, b: 2 }]);
    await database.exec("CREATE TABLE made(a)");
    await tables.has([{ n: 0 }], [{ n: 1 }]);
    await database.exec(
      "BEGIN; ALTER TABLE u ADD COLUMN c DEFAULT 7; DROP VIEW both; CREATE VIEW both AS SELECT a, c FROM t JOIN u ON b = a; COMMIT",
    );
    await both.has([], [{ a: 2, b: 2 }], [{ a: 2, c: 7 }]);
    await notes.has([{ rowid: 1 }], [{ rowid: 1 }, { rowid: 2 }]);
    await database.exec("DROP VIEW both");
    expect(await both.ended).toMatchObject({
      code: "invalid",
      message: expect.stringMatching(/no such table: both/),
    });
  });

  it("ends with an error in its SQL, when its loop is left, by its signal, and with the database", async () => {
    const database = await openOver(bridge, await bridge.remote());
    await database.exec(MAKE);
    await expect(database.live("SELECT nope").next()).rejects.toMatchObject({ code: "invalid" });
    await expect(database.live("SELECT ?", []).next()).rejects.toMatchObject({ code: "invalid" });
    await expect(database.live("INSERT INTO t VALUES (1)").next()).rejects.toMatchObject({ code: "invalid" });
    for await (const rows of database.live(COUNT)) {
      expect(rows).toEqual([{ n: 2 }]);
      break;
    }
    const controller = new AbortController();
    const watch = new Watch(database.live(COUNT, { signal: controller.signal }));
    await watch.has([{ n: 2 }]);
    controller.abort();
    expect(await watch.ended).toMatchObject({ code: "aborted" });
    if (bridge.kind !== "resident-only") {
      const endless = database.live(ENDLESS, { signal: AbortSignal.timeout(40) });
      await expect(endless.next()).rejects.toMatchObject({ code: "aborted" });
    }
    const last = new Watch(database.live(COUNT));
    await last.has([{ n: 2 }]);
    await database.exec("INSERT INTO t VALUES (3)");
    await last.has([{ n: 2 }], [{ n: 3 }]);
    await database.close();
    expect(await last.ended).toMatchObject({ code: expect.stringMatching(/^(closed|aborted)$/) });
  });

  it("many at once, while many commits come: each ends at the newest state, and none is lost", async () => {
    const database = await openOver(bridge, await bridge.remote());
    await database.exec(`CREATE TABLE n(k INTEGER PRIMARY KEY, v); ${MAKE}`);
    for (let k = 0; k < 30; k++) await database.exec("INSERT INTO n VALUES (?, 0)", [k]);
    const watches = Array.from(
      { length: 30 },
      (_, k) => new Watch(database.live("SELECT v FROM n WHERE k = ?", [k])),
    );
    const sum = new Watch(database.live("SELECT sum(v) AS v FROM n"));
    const idle = new Watch(database.live("SELECT a FROM t"));
    for (const watch of watches) await watch.has([{ v: 0 }]);
    for (let round = 1; round <= 5; round++)
      await Promise.all(watches.map((_, k) => database.exec("UPDATE n SET v = v + 1 WHERE k = ?", [k])));
    for (const watch of [...watches, sum]) {
      const final = watch === sum ? 150 : 5;
      await expect.poll(() => watch.told.at(-1)).toEqual([{ v: final }]);
      const values = watch.told.map(([row]) => Number(row?.v));
      // Only what is new is told, in order.
      expect(values).toEqual([...new Set(values)].sort((a, b) => a - b));
    }
    await idle.has([{ a: 1 }, { a: 2 }]);
  });

  it("of a database that is switched to another volume go on there", async () => {
    const database = await openOver(bridge, await bridge.remote());
    await database.exec(MAKE);
    await database.push();
    const watch = new Watch(database.live(COUNT));
    await watch.has([{ n: 2 }]);
    await database.exec("PRAGMA pagefold_fork = 'side'");
    await catchUp(bridge, database);
    await database.exec("INSERT INTO t VALUES (3)");
    await watch.has([{ n: 2 }], [{ n: 3 }]);
    await database.exec("PRAGMA pagefold_switch = 'db'");
    await watch.has([{ n: 2 }], [{ n: 3 }], [{ n: 2 }]);
  });
});

/** A change that another side makes and pushes, and this one pulls. */
async function pulled(bridge: Bridge, remote: TestRemote, database: Database, sql: string): Promise<void> {
  const other = await openOver(bridge, remote);
  await other.exec(sql);
  await other.push();
  await catchUp(bridge, database);
}
