/** The VFS for people with a sqlite-wasm of their own: its object-oriented API, its C API, sessions, and what they get when something fails. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PagefoldError } from "../../src/base/errors.ts";
import { MemoryRecorder } from "../../src/base/recorder.ts";
import { openStore } from "../../src/node/index.ts";
import type { PageStore } from "../../src/store/page-store.ts";
import { installPagefoldVfs, type PagefoldVfs, type PagefoldVfsOptions } from "../../vfs/index.ts";
import { closeAll, closeLater } from "./closers.ts";
import { elsewhere, importInto, memoryRemote, type TestRemote } from "./remotes.ts";
import { sampleDatabase } from "./sample.ts";
import { loadSqlite, newVfsName } from "./sqlite.ts";

type Sqlite = Awaited<ReturnType<typeof loadSqlite>>;
type Db = InstanceType<Sqlite["oo1"]["DB"]>;

let sqlite3: Sqlite;
let remote: TestRemote;
let store: PageStore;
let vfs: PagefoldVfs;

const install = (options: PagefoldVfsOptions = {}): PagefoldVfs => {
  const installed = installPagefoldVfs(sqlite3, store, { name: newVfsName(), ...options });
  closeLater(() => installed.dispose());
  return installed;
};
const open = (name: string, flags = "c"): Db => {
  const db = new sqlite3.oo1.DB({ filename: name, vfs: vfs.name, flags });
  closeLater(() => db.close());
  return db;
};
const rows = (db: Db, sql: string): unknown => db.exec({ sql, rowMode: "array", returnValue: "resultRows" });
const resultCode = (work: () => unknown): number => {
  try {
    work();
  } catch (error) {
    return (error as { resultCode: number }).resultCode;
  }
  throw new Error("it did not fail");
};

beforeEach(async () => {
  sqlite3 = await loadSqlite();
  remote = memoryRemote();
  store = await openStore(remote.store, { workers: 0 });
  closeLater(() => store.close());
  vfs = install();
});
afterEach(closeAll);

describe("installPagefoldVfs", () => {
  it("opens volumes that are open by tag or id, reads and writes them, commit by commit", async () => {
    const volume = await store.createVolume({ tag: "db" });
    const db = open("db");
    db.exec("PRAGMA page_size = 4096; CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    expect(volume.status()).toMatchObject({ ahead: 2, pageCount: 2 });
    db.transaction(() => {
      db.exec({ sql: "INSERT INTO t VALUES (?)", bind: [2] });
      db.exec("UPDATE t SET a = a * 10");
    });
    expect(() =>
      db.transaction(() => {
        db.exec("DELETE FROM t");
        throw new Error("never mind");
      }),
    ).toThrow("never mind");
    expect(volume.status().ahead).toBe(3);
    const same = open(`/${volume.id}`);
    expect(rows(same, "SELECT a FROM t")).toEqual([[10], [20]]);
    expect(rows(same, "PRAGMA journal_mode")).toEqual([["delete"]]);
    await volume.push();
    await elsewhere(remote, async (there) => expect(there.status().pageCount).toBe(2));
    await importInto(remote, await sampleDatabase(500));
    await volume.pull();
    await volume.hydrate();
    // A database that replaced another one: the parsed schema is SQLite's own business here, and its cookie differs.
    expect(rows(same, "SELECT count(*) FROM sqlite_schema")).toEqual([[2]]);
    expect(rows(db, "SELECT count(*), max(i) FROM t")).toEqual([[500, 500]]);
  });

  it("answers pagefold pragmas that wait for nothing as one text, and says of the others how to call them", async () => {
    await importInto(remote, await sampleDatabase(500));
    const volume = await store.volume("db");
    await volume.hydrate();
    const db = open("db");
    expect(db.selectValue("PRAGMA pagefold_lsn")).toBe("1");
    expect(db.selectValue("PRAGMA pagefold_lsn = 'json'")).toBe('{"lsn":1}');
    expect(db.selectValue("PRAGMA pagefold_version")).toMatch(/^\d+\.\d+\.\d+$/);
    const [header, ...lines] = String(db.selectValue("PRAGMA pagefold_info")).split("\n");
    expect(header).toBe("volume\tpage_size\tpage_count\tbyte_length\tread_only");
    expect(lines).toEqual([expect.stringMatching(new RegExp(`^${volume.id}\t4096\t\\d+\t\\d+\t0$`))]);
    expect(JSON.parse(String(db.selectValue("PRAGMA pagefold_status('json')")))).toMatchObject({
      state: "clean",
    });
    expect(JSON.parse(String(db.selectValue("PRAGMA pagefold_snapshot('json')")))).toMatchObject({ lsn: 1 });
    for (const name of [
      "tags",
      "log",
      "fetch",
      "pull",
      "push",
      "hydrate",
      "verify",
      "switch = 'db'",
      "fork = 'x'",
    ]) {
      vfs.takeError();
      expect(() => db.exec(`PRAGMA pagefold_${name}`), name).toThrow(/SQLITE_IOERR/);
      const cause = vfs.takeError();
      expect(cause).toBeInstanceOf(PagefoldError);
      expect(cause, name).toMatchObject({
        code: "invalid",
        message: expect.stringMatching(/waits for the object store/),
      });
    }
    expect(() => db.exec("PRAGMA pagefold_nonsense")).toThrow();
    expect(vfs.takeError()).toMatchObject({
      message: expect.stringMatching(/there is no PRAGMA pagefold_nonsense/),
    });
    expect(db.selectValue("SELECT count(*) FROM t")).toBe(500);
  });

  it("keeps the cause of what fails, which SQLite has only a number for", async () => {
    await importInto(remote, await sampleDatabase());
    const recorder = new MemoryRecorder();
    vfs = install({ recorder });
    expect(() => open("db")).toThrow(/SQLITE_CANTOPEN/);
    expect(vfs.takeError()).toMatchObject({
      code: "not_found",
      message: expect.stringMatching(/await store\.volume\("db"\)/),
    });
    const volume = await store.volume("db");
    // Whoever calls SQLite directly cannot be suspended, so what is not resident is not to be had; opening reads the schema.
    expect(resultCode(() => open("db"))).toBe(sqlite3.capi.SQLITE_IOERR_READ);
    expect(vfs.takeError()).toMatchObject({ code: "unavailable", message: expect.stringMatching(/hydrate/) });
    await volume.read(0, 4096);
    const db = open("db");
    expect(resultCode(() => db.exec("SELECT count(*) FROM t"))).toBe(sqlite3.capi.SQLITE_IOERR_READ);
    expect(vfs.takeError()).toMatchObject({ code: "unavailable" });
    expect(vfs.takeError()).toBeUndefined();
    await volume.hydrate();
    expect(db.selectValue("SELECT count(*) FROM t")).toBe(8000);
    expect(() => install({ name: vfs.name })).toThrow(/registered already/);
  });

  it("two connections, one of them stale: SQLITE_BUSY_SNAPSHOT; one that writes: SQLITE_BUSY", async () => {
    await store.createVolume({ tag: "db" });
    const [a, b] = [open("db"), open("db")];
    a.exec("CREATE TABLE t(a)");
    a.exec("BEGIN; SELECT * FROM t");
    b.exec("INSERT INTO t VALUES (1)");
    expect(resultCode(() => a.exec("INSERT INTO t VALUES (2)"))).toBe(sqlite3.capi.SQLITE_BUSY_SNAPSHOT);
    a.exec("ROLLBACK; BEGIN IMMEDIATE");
    expect(resultCode(() => b.exec("INSERT INTO t VALUES (3)"))).toBe(sqlite3.capi.SQLITE_BUSY);
    b.exec("PRAGMA busy_timeout = 50");
    const started = performance.now();
    expect(resultCode(() => b.exec("INSERT INTO t VALUES (3)"))).toBe(sqlite3.capi.SQLITE_BUSY);
    // Whoever holds the lock is on this very thread, which a sleep would stop.
    expect(performance.now() - started).toBeLessThan(1000);
    a.exec("COMMIT");
    b.exec("INSERT INTO t VALUES (3)");
    expect(rows(a, "SELECT a FROM t")).toEqual([[1], [3]]);
    const reader = open("db", "r");
    expect(resultCode(() => reader.exec("INSERT INTO t VALUES (4)"))).toBe(sqlite3.capi.SQLITE_READONLY);
  });

  it("whole databases go in and out by SQLite's own backup and serialization, in one commit", async () => {
    const { capi } = sqlite3;
    const volume = await store.createVolume({ tag: "db" });
    const db = open("db");
    db.exec("PRAGMA page_size = 4096");
    const memory = new sqlite3.oo1.DB(":memory:", "c");
    closeLater(() => memory.close());
    const fill = (rows: number): void => {
      memory.exec(
        `PRAGMA page_size = 4096; DROP TABLE IF EXISTS t; CREATE TABLE t(a, b); CREATE INDEX tb ON t(b); WITH RECURSIVE c(i) AS
         (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ${rows}) INSERT INTO t SELECT i, hex(zeroblob(20)) FROM c; VACUUM`,
      );
    };
    const backup = (from: Db, to: Db): void => {
      const job = capi.sqlite3_backup_init(to.pointer!, "main", from.pointer!, "main");
      expect(capi.sqlite3_backup_step(job, -1)).toBe(capi.SQLITE_DONE);
      expect(capi.sqlite3_backup_finish(job)).toBe(0);
    };
    const ahead: number[] = [];
    for (const rows of [2000, 50, 1000]) {
      fill(rows);
      backup(memory, db);
      ahead.push(volume.status().ahead);
      expect(db.selectValue("SELECT count(*) FROM t")).toBe(rows);
      expect(db.selectValue("PRAGMA integrity_check")).toBe("ok");
      const exported = sqlite3.capi.sqlite3_js_db_export(db.pointer!);
      expect(exported.length).toBe(volume.status().byteLength);
      const stored = await volume.read(0, exported.length);
      expect(Buffer.compare(stored, exported)).toBe(0);
    }
    expect(ahead).toEqual([ahead[0], ahead[0]! + 1, ahead[0]! + 2]);
    backup(db, memory);
    expect(memory.selectValue("SELECT count(*) FROM t")).toBe(1000);
  });

  it("sessions of SQLite record changesets, which apply elsewhere", async () => {
    const { capi, wasm } = sqlite3;
    await store.createVolume({ tag: "db" });
    await store.createVolume({ tag: "copy" });
    const [db, copy] = [open("db"), open("copy")];
    for (const each of [db, copy])
      each.exec("CREATE TABLE t(i INTEGER PRIMARY KEY, s); INSERT INTO t VALUES (1, 'one'), (2, 'two')");
    const changeset = wasm.scopedAllocCall(() => {
      const ppSession = wasm.scopedAlloc(4);
      expect(capi.sqlite3session_create(db.pointer!, "main", ppSession)).toBe(0);
      const session = wasm.peekPtr(ppSession);
      expect(capi.sqlite3session_attach(session, 0)).toBe(0);
      db.exec(
        "UPDATE t SET s = 'ONE' WHERE i = 1; DELETE FROM t WHERE i = 2; INSERT INTO t VALUES (3, 'three')",
      );
      const [pSize, ppBytes] = [wasm.scopedAlloc(4), wasm.scopedAlloc(4)];
      expect(capi.sqlite3session_changeset(session, pSize, ppBytes)).toBe(0);
      const bytes = wasm.heap8u().slice(wasm.peekPtr(ppBytes), wasm.peekPtr(ppBytes) + wasm.peek32(pSize));
      capi.sqlite3_free(wasm.peekPtr(ppBytes));
      capi.sqlite3session_delete(session);
      return bytes;
    });
    expect(changeset.length).toBeGreaterThan(20);
    const before = store.opened("copy")!.status().ahead;
    wasm.scopedAllocCall(() => {
      const pBytes = wasm.allocFromTypedArray(changeset);
      const code = capi.sqlite3changeset_apply(
        copy.pointer!,
        changeset.length,
        pBytes,
        0,
        () => capi.SQLITE_CHANGESET_ABORT,
        0,
      );
      wasm.dealloc(pBytes);
      expect(code).toBe(0);
    });
    expect(rows(copy, "SELECT * FROM t")).toEqual([
      [1, "ONE"],
      [3, "three"],
    ]);
    // A changeset is applied within one transaction.
    expect(store.opened("copy")!.status().ahead).toBe(before + 1);
    expect(rows(copy, "PRAGMA integrity_check")).toEqual([["ok"]]);
  });
});
