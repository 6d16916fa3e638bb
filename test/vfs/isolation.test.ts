/** Snapshot isolation and the writer's turn: between connections of one VFS, and between databases on one page store. */
import { afterEach, describe, expect, it } from "vitest";
import { openStore } from "../../src/node/index.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import { Database, type DatabaseOptions } from "../../vfs/index.ts";
import { canSuspend } from "../../vfs/sqlite/thunks.ts";
import { catchUp, openOver, overBridges } from "./bridges.ts";
import { closeAll, closeLater } from "./closers.ts";
import { overFamilies } from "./fake-bridge.ts";
import { elsewhere, memoryRemote } from "./remotes.ts";
import { rowsOf } from "./sqlite.ts";
import { openVolumes } from "./volumes.ts";

const COUNT = "SELECT count(*) AS n FROM t";

overFamilies("invariant 1: connections of one VFS", (family) => {
  it("a reader keeps its snapshot while a writer commits and while a pull arrives; the next transaction sees the newest", async () => {
    const remote = memoryRemote();
    const opened = await openVolumes(family, ["db"], { remote: remote.store });
    const [reader, writer] = [await opened.connect("db"), await opened.connect("db")];
    await writer.run("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    await reader.run(`BEGIN; ${COUNT}`);
    await writer.run("INSERT INTO t VALUES (2)");
    await writer.run("CREATE TABLE u(a); ALTER TABLE t ADD COLUMN b DEFAULT 'b'");
    await opened.volume("db").push();
    expect(await rowsOf(reader, "SELECT * FROM t")).toEqual([[1]]);
    await expect(reader.run("SELECT * FROM u")).rejects.toMatchObject({ code: "invalid" });
    await elsewhere(remote, async (_volume, pages) => {
      const there = await Database.open(pages, "db", { bridge: canSuspend() ? "jspi" : "resident-only" });
      await there.hydrate();
      await there.exec("DELETE FROM t; INSERT INTO t VALUES (7, 8), (9, 10), (11, 12)");
      await there.push();
      await there.close();
    });
    await opened.volume("db").pull();
    await opened.volume("db").hydrate();
    expect(await rowsOf(reader, "SELECT * FROM t")).toEqual([[1]]);
    expect(await rowsOf(writer, "SELECT * FROM t")).toHaveLength(3);
    await reader.run("COMMIT");
    expect(await rowsOf(reader, "SELECT * FROM t")).toEqual([
      [7, 8],
      [9, 10],
      [11, 12],
    ]);
    expect(await rowsOf(reader, "SELECT * FROM u")).toEqual([]);
  });

  it("readers see committed states only, and neither wait nor make anybody wait", async () => {
    const opened = await openVolumes(family, ["db"]);
    const [reader, writer] = [await opened.connect("db"), await opened.connect("db")];
    await writer.run("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    await writer.run("BEGIN; INSERT INTO t VALUES (2); UPDATE t SET a = a + 10");
    expect(await rowsOf(reader, COUNT)).toEqual([[1]]);
    await reader.run(`BEGIN; ${COUNT}`);
    await writer.run("COMMIT");
    expect(await rowsOf(reader, "SELECT a FROM t")).toEqual([[1]]);
    await reader.run("COMMIT");
    expect(await rowsOf(reader, "SELECT a FROM t")).toEqual([[11], [12]]);
    await writer.run("BEGIN; DELETE FROM t");
    expect(await rowsOf(reader, COUNT)).toEqual([[2]]);
    await writer.run("ROLLBACK");
    expect(await rowsOf(writer, COUNT)).toEqual([[2]]);
  });

  it("a reader whose snapshot is stale cannot write on it: conflict, and nothing of it remains", async () => {
    const opened = await openVolumes(family, ["db"]);
    const [a, b] = [await opened.connect("db", { busyTimeoutMs: 5000 }), await opened.connect("db")];
    await a.run("CREATE TABLE t(a)");
    await a.run(`BEGIN; ${COUNT}`);
    await b.run("INSERT INTO t VALUES ('b')");
    const started = performance.now();
    await expect(a.run("INSERT INTO t VALUES ('a')")).rejects.toMatchObject({
      code: "conflict",
      details: { sqliteCode: 517 },
    });
    // Within a transaction there is nothing to wait for.
    expect(performance.now() - started).toBeLessThan(2000);
    expect(await rowsOf(a, COUNT)).toEqual([[0]]);
    await a.run("COMMIT");
    await a.run("INSERT INTO t VALUES ('a')");
    expect(await rowsOf(b, "SELECT a FROM t")).toEqual([["b"], ["a"]]);
  });

  it("who wants to write while somebody does gets busy, at once or after its patience", async () => {
    const opened = await openVolumes(family, ["db"]);
    const [a, b] = [await opened.connect("db"), await opened.connect("db")];
    const patient = await opened.connect("db", { busyTimeoutMs: 60 });
    await a.run("CREATE TABLE t(a); BEGIN IMMEDIATE");
    await expect(b.run("INSERT INTO t VALUES (1)")).rejects.toMatchObject({ code: "busy" });
    await expect(b.run("BEGIN IMMEDIATE")).rejects.toMatchObject({ code: "busy" });
    const started = performance.now();
    await expect(patient.run("INSERT INTO t VALUES (1)")).rejects.toMatchObject({ code: "busy" });
    expect(performance.now() - started).toBeGreaterThanOrEqual(55);
    const steadfast = await opened.connect("db", { busyTimeoutMs: 30_000 });
    const waiting = steadfast.run("INSERT INTO t VALUES (?)", ["patient"]);
    await new Promise((resolve) => setTimeout(resolve, 15));
    await a.run("INSERT INTO t VALUES ('a'); COMMIT");
    await waiting;
    expect(await rowsOf(b, "SELECT a FROM t")).toEqual([["a"], ["patient"]]);
  });
});

const HERE = [
  { bridge: "resident-only", missing: false },
  { bridge: "jspi", missing: !canSuspend() },
] as const;

for (const { bridge, missing } of HERE) {
  describe(`databases on one page store, ${bridge}`, () => {
    afterEach(closeAll);
    if (missing) {
      it("is tested", (context) => context.skip(`Node ${process.version} cannot suspend WebAssembly (JSPI)`));
      return;
    }

    const open = async (pages: PageStore, options: DatabaseOptions = {}): Promise<Database> => {
      const database = await Database.open(pages, "db", { bridge, create: true, ...options });
      closeLater(() => database.close());
      return database;
    };
    const openPages = async (): Promise<PageStore> => {
      const pages = await openStore(memoryRemote().store, { workers: 0 });
      closeLater(() => pages.close());
      return pages;
    };

    it("see one another's commits at their next transaction, and conflict where they wrote on what is past", async () => {
      const pages = await openPages();
      const [a, b] = [await open(pages), await open(pages)];
      await a.exec("CREATE TABLE t(a)");
      const within = await a.transaction(
        async (tx) => {
          const before = await tx.query(COUNT);
          await b.exec("INSERT INTO t VALUES ('b'); CREATE TABLE u(a)");
          expect(await tx.query(COUNT)).toEqual(before);
          await expect(tx.exec("INSERT INTO t VALUES ('a')")).rejects.toMatchObject({ code: "conflict" });
          return before;
        },
        { mode: "deferred" },
      );
      expect(within).toEqual([{ n: 0 }]);
      expect(await a.query("SELECT a FROM t")).toEqual([{ a: "b" }]);
      await a.exec("INSERT INTO u VALUES (1)");
      expect(await b.query("SELECT a FROM u")).toEqual([{ a: 1 }]);
      expect(await a.query("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
    });

    it("report their own commits, and no one else's", async () => {
      const pages = await openPages();
      const [a, b] = [await open(pages), await open(pages)];
      await a.exec("CREATE TABLE t(a)");
      const slow = a.execute(
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 200000) SELECT count(*) AS n FROM c; SELECT 1; SELECT 2",
      );
      const quick = b.exec("INSERT INTO t VALUES (1)");
      expect((await quick).commit).toMatchObject({ sequence: 2 });
      expect((await slow).commit).toBeUndefined();
      const [writing, reading] = await Promise.all([
        a.execute("INSERT INTO t VALUES (2)"),
        a.execute("SELECT count(*) AS n FROM t"),
      ]);
      expect(writing.commit).toMatchObject({ sequence: 3 });
      expect(reading.commit).toBeUndefined();
    });

    it("wait for the writer's turn as long as their busyTimeoutMs allows", async () => {
      const pages = await openPages();
      const [holder, hasty, patient] = [
        await open(pages),
        await open(pages, { busyTimeoutMs: 60 }),
        await open(pages, { busyTimeoutMs: 20_000 }),
      ];
      await holder.exec("CREATE TABLE t(a)");
      let ended = false;
      const waiting: Promise<unknown>[] = [];
      await holder.transaction(async (tx) => {
        const started = performance.now();
        await expect(hasty.exec("INSERT INTO t VALUES ('hasty')")).rejects.toMatchObject({ code: "busy" });
        expect(performance.now() - started).toBeGreaterThanOrEqual(55);
        const insert = patient.exec("INSERT INTO t VALUES (?)", ["patient"]);
        waiting.push(insert.then(() => expect(ended).toBe(true)));
        await new Promise((resolve) => setTimeout(resolve, 20));
        await tx.exec("INSERT INTO t VALUES ('holder')");
        ended = true;
      });
      await Promise.all(waiting);
      expect(await hasty.query("SELECT a FROM t")).toEqual([{ a: "holder" }, { a: "patient" }]);
    });

    it("each comes to write, in order where the lock is waited for", async () => {
      const pages = await openPages();
      const databases = [await open(pages), await open(pages), await open(pages), await open(pages)];
      const order: number[] = [];
      const [holder] = databases as [Database];
      await holder.exec("CREATE TABLE t(a)");
      let others: Promise<unknown>[] = [];
      await holder.transaction(async () => {
        others = databases.slice(1).map((database, i) =>
          database.transaction(async (tx) => {
            order.push(i);
            await tx.exec("INSERT INTO t VALUES (?)", [i]);
            await new Promise((resolve) => setTimeout(resolve, 2));
          }),
        );
        await new Promise((resolve) => setTimeout(resolve, 30));
      });
      await Promise.all(others);
      expect(bridge === "jspi" ? order : [...order].sort()).toEqual([0, 1, 2]);
      const all = await Promise.all(
        databases.map(async (database) => {
          for (let i = 0; i < 5; i++) await database.exec("INSERT INTO t SELECT max(a) + 1 FROM t");
        }),
      );
      expect(all).toHaveLength(4);
      expect(await holder.query("SELECT count(*) AS n, max(a) AS top FROM t")).toEqual([{ n: 23, top: 22 }]);
    });
  });
}

overBridges("invariant 1: a transaction of a Database", (bridge) => {
  it("keeps its snapshot across a pull, and the next one sees what was pulled", async () => {
    const remote = await bridge.remote();
    const database = await openOver(bridge, remote);
    await database.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    await database.push();
    const other = await openOver(bridge, remote);
    await other.exec("INSERT INTO t VALUES (2); CREATE TABLE u(a)");
    await other.push();
    await database.transaction(
      async (tx) => {
        expect(await tx.query(COUNT)).toEqual([{ n: 1 }]);
        await catchUp(bridge, database);
        expect(await tx.query(COUNT)).toEqual([{ n: 1 }]);
        await expect(tx.exec("INSERT INTO t VALUES (3)")).rejects.toMatchObject({ code: "conflict" });
      },
      { mode: "deferred" },
    );
    expect(await database.query(COUNT)).toEqual([{ n: 2 }]);
    await database.exec("INSERT INTO t VALUES (3); INSERT INTO u VALUES (4)");
    expect(await database.push()).toMatchObject({ outcome: "pushed", lsn: 3 });
  });

  it("opened read-only writes nothing, and says so", async () => {
    const remote = await bridge.remote();
    const database = await openOver(bridge, remote);
    await database.exec("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    await database.push();
    const reader = await openOver(bridge, remote, { readOnly: true, create: false });
    expect(await reader.status()).toMatchObject({ readOnly: true, lsn: 1 });
    for (const sql of [
      "INSERT INTO t VALUES (2)",
      "CREATE TABLE u(a)",
      "PRAGMA user_version = 1",
      "VACUUM",
    ]) {
      await expect(reader.exec(sql), sql).rejects.toMatchObject({
        code: "invalid",
        message: expect.stringMatching(/read-only here/),
      });
    }
    // As in SQLite, where BEGIN IMMEDIATE begins to read what cannot be written.
    expect(await reader.transaction((tx) => tx.query(COUNT))).toEqual([{ n: 1 }]);
    await expect(reader.transaction((tx) => tx.exec("DELETE FROM t"))).rejects.toMatchObject({
      code: "invalid",
    });
    await reader.exec("CREATE TEMP TABLE scratch AS SELECT a FROM t; INSERT INTO scratch VALUES (2)");
    expect(await reader.query("SELECT count(*) AS n FROM scratch")).toEqual([{ n: 2 }]);
    await database.exec("INSERT INTO t VALUES (2)");
    await database.push();
    await catchUp(bridge, reader);
    expect(await reader.query(COUNT)).toEqual([{ n: 2 }]);
  });
});
