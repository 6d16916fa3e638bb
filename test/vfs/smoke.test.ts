import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { expect, it } from "vitest";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import { PageStore } from "../../src/store/page-store.ts";
import { ResidentOnlyBridge } from "../../vfs/bridge/bridge.ts";
import { Connection } from "../../vfs/sqlite/connection.ts";
import { installVfs } from "../../vfs/sqlite/pagefold-vfs.ts";
import { VolumeSource } from "../../vfs/sqlite/volume-source.ts";

it("works", async () => {
  const sqlite3 = await sqlite3InitModule();
  const store = await PageStore.open({ remote: new MemoryObjectStore() });
  const volume = await store.createVolume({ tag: "x" });
  const other = await store.createVolume({ tag: "y" });
  const sources = new Map([
    ["x", new VolumeSource(volume)],
    ["y", new VolumeSource(other)],
  ]);
  const vfs = installVfs(sqlite3, { bridge: new ResidentOnlyBridge(), resolve: (n) => sources.get(n) });
  const a = await Connection.open(sqlite3, vfs, "x");
  const b = await Connection.open(sqlite3, vfs, "x");
  await a.run("CREATE TABLE t(a,b); INSERT INTO t VALUES(1,2),(3,4)");
  console.log(volume.status());
  console.log((await b.run("SELECT * FROM t; PRAGMA journal_mode; PRAGMA synchronous; PRAGMA locking_mode; PRAGMA page_size"))[0]);
  await a.run("BEGIN; INSERT INTO t VALUES(5,6)");
  expect((await b.run("SELECT count(*) FROM t"))[0]!.rows).toEqual([[2]]);
  await expect(b.run("INSERT INTO t VALUES(7,8)")).rejects.toThrow(/another writer/);
  await a.run("ROLLBACK");
  expect(volume.status().ahead).toBe(2);
  await b.run("INSERT INTO t VALUES(7,8)");
  expect((await a.run("SELECT count(*) FROM t"))[0]!.rows).toEqual([[3]]);
  await a.run("BEGIN; SELECT * FROM t");
  await b.run("INSERT INTO t VALUES(9,8)");
  await expect(a.run("INSERT INTO t VALUES(7,8)")).rejects.toThrow(/moved on/);
  await a.run("ROLLBACK");
  await a.run("ATTACH 'y' AS y; CREATE TABLE y.z(q)");
  const before = [volume.status().ahead, other.status().ahead];
  await a.run("BEGIN; INSERT INTO y.z VALUES(1); INSERT INTO t VALUES('both',1); COMMIT");
  expect([volume.status().ahead, other.status().ahead]).toEqual(before.map((n) => n + 1));
  await a.run("DELETE FROM t WHERE a=1; VACUUM");
  expect((await a.run("PRAGMA integrity_check"))[0]!.rows).toEqual([["ok"]]);
  await volume.push();
  expect((await b.run("SELECT count(*) FROM t"))[0]!.rows).toEqual([[4]]);
  await a.close();
  await b.close();
  vfs.dispose();
});
