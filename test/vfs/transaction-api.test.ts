/** `transaction` and `at`: what they promise beyond BEGIN and COMMIT. */
import { expect, it } from "vitest";
import type { DatabaseTransaction } from "../../vfs/index.ts";
import { catchUp, openOver, overBridges, SharedDatabase } from "./bridges.ts";
import { importInto } from "./remotes.ts";
import { buildDatabase } from "./sqlite.ts";

const rows = "SELECT a FROM t";
/** Rows lie in the order of their keys, so that what was read of one end says nothing of the other. */
const WITHOUT_INDEX = `PRAGMA page_size = 4096; CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT);
  WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 8000) INSERT INTO t SELECT i, hex(zeroblob(40)) FROM c`;

overBridges("transaction", (bridge) => {
  const shared = new SharedDatabase(bridge, "CREATE TABLE t(a UNIQUE)", { busyTimeoutMs: 150 });

  it("commits what its callback did, once, and answers what it answers", async () => {
    const { database } = shared;
    const { ahead } = await database.status();
    const answer = await database.transaction(async (tx) => {
      const first = await tx.exec("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)");
      expect(first).toMatchObject({ changes: 2 });
      expect(first.commit).toBeUndefined();
      expect(await tx.query(rows)).toEqual([{ a: 1 }, { a: 2 }]);
      expect(await tx.queryOne("SELECT max(a) AS a FROM t")).toEqual({ a: 2 });
      expect(await tx.sql`SELECT a FROM t WHERE a = ${2}`).toEqual([{ a: 2 }]);
      expect(await database.status()).toMatchObject({ ahead });
      return "answer";
    });
    expect(answer).toBe("answer");
    expect((await database.status()).ahead).toBe(ahead + 1);
    await database.transaction(async () => {});
    expect((await database.status()).ahead).toBe(ahead + 1);
    await database.exec("DELETE FROM t");
  });

  it("rolls back when its callback throws, and throws that", async () => {
    const { database } = shared;
    const { ahead } = await database.status();
    const mine = new Error("mine");
    const failing = database.transaction(async (tx) => {
      await tx.exec("INSERT INTO t VALUES (1)");
      throw mine;
    });
    await expect(failing).rejects.toBe(mine);
    const clash = database.transaction((tx) => tx.exec("INSERT INTO t VALUES (1); INSERT INTO t VALUES (1)"));
    await expect(clash).rejects.toMatchObject({ code: "invalid", message: expect.stringMatching(/UNIQUE/) });
    // Savepoints are the way to go on.
    await database.transaction(async (tx) => {
      await tx.exec("INSERT INTO t VALUES (1); SAVEPOINT s");
      await tx.exec("INSERT INTO t VALUES (2), (1)").catch(() => tx.exec("ROLLBACK TO s"));
      await tx.exec("INSERT INTO t VALUES (3)");
    });
    expect(await database.query(rows)).toEqual([{ a: 1 }, { a: 3 }]);
    expect((await database.status()).ahead).toBe(ahead + 1);
    await database.exec("DELETE FROM t");
  });

  it("is over when its callback is, and ends what was not awaited", async () => {
    const { database } = shared;
    let kept: DatabaseTransaction | undefined;
    let late: Promise<unknown> | undefined;
    await database.transaction(async (tx) => {
      kept = tx;
      late = tx.exec("INSERT INTO t VALUES (1)");
    });
    await late;
    const closed = { code: "closed", message: expect.stringMatching(/has ended/) };
    await expect(kept!.query("SELECT 1")).rejects.toMatchObject(closed);
    await expect(kept!.iterate("SELECT 1").next()).rejects.toMatchObject(closed);
    expect(await database.query(rows)).toEqual([{ a: 1 }]);
    await database.exec("DELETE FROM t");
  });

  it("used in itself through the database is busy, and says what to use", async () => {
    const { database } = shared;
    await database.transaction(async (tx) => {
      const busy = { code: "busy", message: expect.stringMatching(/transaction's own methods/) };
      await expect(database.query("SELECT 1")).rejects.toMatchObject(busy);
      await expect(database.transaction(async () => {})).rejects.toMatchObject(busy);
      await expect(database.iterate("SELECT 1").next()).rejects.toMatchObject(busy);
      await tx.exec("INSERT INTO t VALUES (1)");
    });
    expect(await database.query(rows)).toEqual([{ a: 1 }]);
    await database.exec("DELETE FROM t");
  });

  it("and what moves the volume wait for one another", async () => {
    const database = await openOver(bridge, await bridge.remote());
    await database.exec("CREATE TABLE t(a)");
    let ended = false;
    const held = database.transaction(async (tx) => {
      await tx.exec("INSERT INTO t VALUES (1)");
      await new Promise((resolve) => setTimeout(resolve, 40));
      ended = true;
    });
    const pulled = database.pull().then(() => expect(ended).toBe(true));
    await held;
    await pulled;
    expect(await database.query(rows)).toEqual([{ a: 1 }]);
  });

  it("and what moves the volume do not wait for ever", async () => {
    const { database } = shared;
    await database.transaction(async (tx) => {
      await tx.exec("INSERT INTO t VALUES (1)");
      const moves = {
        pull: () => database.pull(),
        reset: () => database.reset(),
        fork: () => database.fork("side"),
        push: () => database.push({ onDiverged: "reset" }),
        pragma: () => tx.query("PRAGMA pagefold_pull"),
        "another pragma": () => tx.query("PRAGMA pagefold_new = 'made'"),
      };
      for (const [name, move] of Object.entries(moves))
        await expect(move(), name).rejects.toMatchObject({ code: "busy" });
      // These leave the state of this side alone.
      await database.fetch();
      await database.log();
    });
    await database.exec("INSERT INTO t VALUES (2)");
    await database.exec("BEGIN; INSERT INTO t VALUES (3)");
    await expect(database.pull()).rejects.toMatchObject({
      code: "busy",
      message: expect.stringMatching(/end it/),
    });
    await database.exec("ROLLBACK");
    await database.pull().catch((error: unknown) => expect(error).toMatchObject({ code: "diverged" }));
    expect(await database.query(rows)).toEqual([{ a: 1 }, { a: 2 }]);
    await expect(shared.remote.store.list("tags/made")).resolves.toEqual([]);
    await database.exec("BEGIN");
    await expect(database.transaction(async () => {})).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringMatching(/within a transaction/),
    });
    await database.exec("ROLLBACK; DELETE FROM t");
  });

  it("ended by its own SQL is a conflict from then on, and nothing is half done", async () => {
    const { database } = shared;
    const ended = database.transaction(async (tx) => {
      await tx.exec("INSERT INTO t VALUES (1); COMMIT");
      await tx.exec("INSERT INTO t VALUES (2)");
    });
    await expect(ended).rejects.toMatchObject({ code: "conflict" });
    expect(await database.query(rows)).toEqual([{ a: 1 }]);
    const rolledBack = database.transaction(async (tx) => {
      await tx.exec("INSERT INTO t VALUES (3)");
      await tx.exec("INSERT OR ROLLBACK INTO t VALUES (1)").catch(() => {});
      // Outside of the transaction it would be committed by itself.
      await expect(tx.exec("INSERT INTO t VALUES (4)")).rejects.toMatchObject({ code: "conflict" });
    });
    await expect(rolledBack).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringMatching(/rolled back already/),
    });
    expect(await database.query(rows)).toEqual([{ a: 1 }]);
    await database.exec("DELETE FROM t");
  });

  it("one after the other, in the order in which they were asked for", async () => {
    const { database } = shared;
    await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        database.transaction(async (tx) => {
          const { n } = (await tx.queryOne("SELECT count(*) AS n FROM t"))!;
          await tx.exec("INSERT INTO t VALUES (?)", [n as number]);
          return i;
        }),
      ),
    );
    expect(await database.query(rows)).toEqual(Array.from({ length: 10 }, (_, a) => ({ a })));
    await database.exec("DELETE FROM t");
  });
});

overBridges("a transaction in which a page cannot be had", (bridge) => {
  it("is rolled back whole, also where its callback goes on", async (context) => {
    if (bridge.kind === "resident-only") context.skip("every page is here from the start");
    const remote = await bridge.remote();
    await importInto(remote, await buildDatabase(WITHOUT_INDEX));
    const database = await openOver(bridge, remote, { settings: { readAhead: undefined } });
    await database.exec("CREATE TABLE made(a)");
    const { ahead } = await database.status();
    for (const failing of ["SELECT sum(length(s)) FROM t", "UPDATE t SET s = 'y'"]) {
      const told = database.transaction(async (tx) => {
        await tx.exec("INSERT INTO made VALUES (1); UPDATE t SET s = 'x' WHERE i <= 50");
        remote.down = true;
        await tx.exec(failing);
      });
      await expect(told, failing).rejects.toMatchObject({ code: "unavailable" });
      remote.down = false;
      const swallowed = database.transaction(async (tx) => {
        await tx.exec("INSERT INTO made VALUES (2); UPDATE t SET s = 'x' WHERE i <= 50");
        remote.down = true;
        await expect(tx.exec(failing)).rejects.toMatchObject({ code: "unavailable" });
        // SQLite has rolled back everything, also after a read; what came now would be a transaction of its own.
        await expect(tx.exec("INSERT INTO made VALUES (3)")).rejects.toMatchObject({ code: "conflict" });
      });
      await expect(swallowed, failing).rejects.toMatchObject({ code: "conflict" });
      remote.down = false;
      expect(await database.query("SELECT a FROM made")).toEqual([]);
      expect((await database.status()).ahead).toBe(ahead);
    }
    expect(await database.query("SELECT count(*) AS n FROM t WHERE length(s) < 5")).toEqual([{ n: 0 }]);
    expect(await database.query("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
  });
});

overBridges("at", (bridge) => {
  it("shows a past state for ever, read-only, whatever comes: invariant 1", async () => {
    const remote = await bridge.remote();
    const database = await openOver(bridge, remote);
    await database.exec("CREATE TABLE t(a); INSERT INTO t VALUES ('first')");
    await database.push();
    const between = new Date();
    await new Promise((resolve) => setTimeout(resolve, 5));
    await database.exec("UPDATE t SET a = 'second'; CREATE TABLE u(a)");
    await database.push();
    await database.exec("UPDATE t SET a = 'local'");
    const views = [await database.at(1), await database.at(between), await database.at(2)];
    expect(views.map(({ lsn }) => lsn)).toEqual([1, 1, 2]);
    const [first, byTime, second] = views as [(typeof views)[0], (typeof views)[0], (typeof views)[0]];
    for (const view of [first, byTime]) {
      expect(await view!.query(rows)).toEqual([{ a: "first" }]);
      await expect(view!.query("SELECT * FROM u")).rejects.toMatchObject({ code: "invalid" });
    }
    expect(await second!.query(rows)).toEqual([{ a: "second" }]);
    expect(await database.query(rows)).toEqual([{ a: "local" }]);
    await expect(first!.exec("DELETE FROM t")).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringMatching(/read-only/),
    });
    await first!.exec("CREATE TEMP TABLE scratch(a)");
    await database.exec("DROP TABLE t; CREATE TABLE t(other); VACUUM");
    await database.push();
    await catchUp(bridge, database);
    for await (const row of first!.iterate(rows)) expect(row).toEqual({ a: "first" });
    expect((await second!.execute(rows)).rows).toEqual([["second"]]);
    // Not in the way of a transaction, nor that of it.
    await database.transaction(async () => {
      expect(await first!.query(rows)).toEqual([{ a: "first" }]);
    });
    await first!.close();
    await first![Symbol.asyncDispose]();
    await expect(first!.query(rows)).rejects.toMatchObject({ code: "closed" });
    expect(await byTime!.query(rows)).toEqual([{ a: "first" }]);
    await expect(database.at(9)).rejects.toMatchObject({ code: "not_found" });
    await expect(database.at(new Date(0))).rejects.toMatchObject({ code: "not_found" });
    await expect(database.at(0)).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringMatching(/empty/),
    });
    await expect(database.at(-1)).rejects.toMatchObject({ code: expect.stringMatching(/invalid|not_found/) });
    await expect(database.at(Number.NaN)).rejects.toMatchObject({
      code: expect.stringMatching(/invalid|not_found/),
    });
  });

  it("knows what this side has pulled, and moves nothing", async () => {
    const remote = await bridge.remote();
    const database = await openOver(bridge, remote);
    await database.exec("CREATE TABLE t(a)");
    await database.push();
    const other = await openOver(bridge, remote);
    await other.exec("INSERT INTO t VALUES (1)");
    await other.push();
    await expect(database.at(2)).rejects.toMatchObject({ code: "not_found" });
    expect(await database.status()).toMatchObject({ lsn: 1 });
    await catchUp(bridge, database);
    const view = await database.at(2);
    expect(await view.query(rows)).toEqual([{ a: 1 }]);
  });
});
