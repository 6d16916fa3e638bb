/** A connection sees one snapshot per transaction, and the newest one at the next, whatever SQLite has in its cache. */
import { expect, it } from "vitest";
import { CurrentView } from "../../vfs/sqlite/view-source.ts";
import { overFamilies } from "./fake-bridge.ts";
import { FakeView } from "./fake-view.ts";
import { importInto, memoryRemote } from "./remotes.ts";
import { buildDatabase, openView, rowsOf } from "./sqlite.ts";
import { openVolumes } from "./volumes.ts";

const database = (value: string): Promise<Uint8Array> =>
  buildDatabase(`PRAGMA page_size = 4096; CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT); INSERT INTO t VALUES (1, '${value}');
    WITH RECURSIVE c(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM c WHERE i < 1000) INSERT INTO t SELECT i, hex(zeroblob(20)) FROM c`);

const resident = (bytes: Uint8Array, lsn: number): FakeView =>
  new FakeView(bytes, { lsn, resident: Array.from({ length: bytes.length / 4096 }, (_, i) => i + 1) });

const READ = "SELECT s FROM t WHERE i = 1";

overFamilies("invariant 1: a read at a snapshot returns the same bytes for ever", (family) => {
  it("a transaction keeps its snapshot, the next one sees the newest; each is closed when nobody holds it", async () => {
    const first = resident(await database("first"), 1);
    const second = resident(await database("second"), 2);
    const third = resident(await database("third"), 3);
    const views = new CurrentView(first);
    const { connection, close } = await openView(family, views);
    expect(await rowsOf(connection, READ)).toEqual([["first"]]);
    await connection.run(`BEGIN; ${READ}`);
    views.replace(second);
    views.replace(third);
    expect(second.closed).toBe(1);
    expect(await rowsOf(connection, READ)).toEqual([["first"]]);
    expect(first.closed).toBe(0);
    await connection.run("COMMIT");
    expect(first.closed).toBe(1);
    expect(await rowsOf(connection, READ)).toEqual([["third"]]);
    expect(third.closed).toBe(0);
    await close();
    views.close();
    expect(third.closed).toBe(1);
  });

  it("a replaced snapshot with the very same change counter is noticed", async () => {
    const one = await database("one");
    const two = await database("two");
    // The same statements: the header of page 1 says nothing of the difference.
    expect(two.slice(24, 40)).toEqual(one.slice(24, 40));
    const views = new CurrentView(resident(one, 1));
    const { connection } = await openView(family, views);
    for (let i = 0; i < 6; i++) {
      expect(await rowsOf(connection, READ)).toEqual([[i % 2 === 0 ? "one" : "two"]]);
      views.replace(resident(i % 2 === 0 ? two : one, i + 2));
    }
  });

  it("a schema that changed with the snapshot is read anew", async () => {
    const old = await database("old");
    const fresh = await buildDatabase("PRAGMA page_size = 4096; CREATE TABLE u(a); INSERT INTO u VALUES (5)");
    const views = new CurrentView(resident(old, 1));
    const { connection } = await openView(family, views);
    expect(await rowsOf(connection, READ)).toEqual([["old"]]);
    views.replace(resident(fresh, 2));
    expect(await rowsOf(connection, "SELECT a FROM u")).toEqual([[5]]);
    await expect(connection.run(READ)).rejects.toThrow(/no such table: t/);
  });

  it("PRAGMA data_version tells of others' commits and of pulls, not of one's own, nor of pushes", async () => {
    const remote = memoryRemote();
    const opened = await openVolumes(family, ["db"], { remote: remote.store });
    const [a, b] = [await opened.connect("db"), await opened.connect("db")];
    let last = -1;
    const moved = async (): Promise<boolean> => {
      const [row] = await rowsOf(a, "SELECT count(*) FROM sqlite_schema; PRAGMA data_version");
      const now = Number(row?.[0]);
      const changed = last !== now;
      last = now;
      return changed;
    };
    await a.run("CREATE TABLE t(a)");
    await moved();
    await a.run("INSERT INTO t VALUES (1)");
    expect(await moved()).toBe(false);
    await a.run("BEGIN; INSERT INTO t VALUES (2); ROLLBACK");
    expect(await moved()).toBe(false);
    await opened.volume("db").push();
    expect(await moved()).toBe(false);
    await b.run("INSERT INTO t VALUES (3)");
    expect(await moved()).toBe(true);
    expect(await moved()).toBe(false);
    await opened.volume("db").reset();
    expect(await moved()).toBe(true);
    await importInto(remote, await database("other"));
    await opened.volume("db").pull();
    await opened.volume("db").hydrate();
    expect(await moved()).toBe(true);
    expect(await rowsOf(a, "SELECT s FROM t WHERE i = 1")).toEqual([["other"]]);
  });

  it("while nothing is replaced, SQLite's own cache serves: no page is read twice", async () => {
    const view = resident(await database("cached"), 1);
    const views = new CurrentView(view);
    const { connection } = await openView(family, views);
    await connection.run(READ);
    view.reads = 0;
    for (let i = 0; i < 10; i++) await connection.run(READ);
    expect(view.reads).toBe(0);
  });
});
