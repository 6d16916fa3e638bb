/** Invariant 2 over several volumes: a commit that fails for one of them is in none, now and after reopening; one that was acknowledged is in all. */
import { expect, it } from "vitest";
import { MemoryBlockFileSystem } from "../../src/local/memory-block-file.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type { Connection } from "../../vfs/sqlite/connection.ts";
import { type Fault, FaultyBlockFileSystem } from "../local/faulty-files.ts";
import { overFamilies } from "./fake-bridge.ts";
import { rowsOf } from "./sqlite.ts";
import { Tripwire } from "./tripwire.ts";
import { openVolumes } from "./volumes.ts";

const NAMES = ["main", "second", "third"];
const COUNTS =
  "SELECT (SELECT count(*) FROM main.t), (SELECT count(*) FROM second.t), (SELECT count(*) FROM third.t)";
const INTO_ALL =
  "INSERT INTO main.t VALUES (randomblob(9000)); INSERT INTO second.t VALUES (1); INSERT INTO third.t VALUES (1)";

async function attachAll(connection: Connection): Promise<void> {
  await connection.run("ATTACH 'second' AS second; ATTACH 'third' AS third");
}

async function makeAll(connection: Connection): Promise<void> {
  await attachAll(connection);
  for (const name of NAMES)
    await connection.run(`CREATE TABLE ${name}.t(a); INSERT INTO ${name}.t VALUES (0)`);
}

overFamilies("a commit over several volumes", (family) => {
  // Both ways in which SQLite commits several files: one after the other, and by deleting a super-journal.
  for (const way of ["OFF", "FULL"]) {
    it(`fails whole wherever the local log fails, synchronous = ${way} in SQLite's eyes`, async () => {
      const remote = new MemoryObjectStore();
      const disk = new FaultyBlockFileSystem(new MemoryBlockFileSystem());
      let opened = await openVolumes(family, NAMES, { remote, files: disk });
      let connection = await opened.connect("main");
      await makeAll(connection);
      let rows = 1;
      const operations: readonly Fault["operation"][] = ["writeAt", "flush"];
      let failures = 0;
      for (const operation of operations) {
        for (let after = 0; after < 8; after++) {
          await opened.vfs.inner.withStandardPragmas(async () => {
            for (const name of NAMES) await connection.run(`PRAGMA ${name}.synchronous = ${way}`);
          });
          disk.fail({ operation, code: "quota", after });
          await connection.run(`BEGIN; ${INTO_ALL}`);
          const error = await connection.run("COMMIT").catch((e: unknown) => e);
          disk.heal();
          const what = `${operation} number ${after}`;
          if (Array.isArray(error)) rows++;
          else {
            failures++;
            expect(error, what).toMatchObject({ code: "quota" });
          }
          if (connection.inTransaction) await connection.run("ROLLBACK");
          expect(await rowsOf(connection, COUNTS), what).toEqual([[rows, rows, rows]]);
          // A flush that failed leaves the file poisoned: it is opened again, as after a crash.
          await opened.close();
          opened = await openVolumes(family, NAMES, { remote, files: disk });
          connection = await opened.connect("main");
          await attachAll(connection);
          const [found] = await rowsOf(connection, COUNTS);
          // What was written and could not be flushed may be there all the same: then of all volumes.
          if (operation === "flush" && !Array.isArray(error)) rows = Number(found?.[0]);
          expect(found, `${what}, reopened`).toEqual([rows, rows, rows]);
        }
      }
      expect(failures).toBeGreaterThan(1);
      expect(rows).toBeGreaterThan(1);
      await connection.run(`BEGIN; ${INTO_ALL}; COMMIT`);
      expect(await rowsOf(connection, COUNTS)).toEqual([[rows + 1, rows + 1, rows + 1]]);
    });

    it(`fails whole where one volume cannot be committed, synchronous = ${way} in SQLite's eyes`, async () => {
      const wires = new Map(NAMES.map((name) => [name, new Tripwire()]));
      const opened = await openVolumes(family, NAMES, {
        wrap: (source, name) => wires.get(name)?.watch(source) ?? source,
      });
      const connection = await opened.connect("main");
      await makeAll(connection);
      await opened.vfs.inner.withStandardPragmas(async () => {
        for (const name of NAMES) await connection.run(`PRAGMA ${name}.synchronous = ${way}`);
      });
      for (const name of NAMES) {
        await connection.run(`BEGIN; ${INTO_ALL}`);
        wires.get(name)?.arm("transaction.prepare", 1);
        await expect(connection.run("COMMIT")).rejects.toMatchObject({ cause: wires.get(name)?.bug });
        expect(wires.get(name)?.fired).toBe(true);
        if (connection.inTransaction) await connection.run("ROLLBACK");
        expect(await rowsOf(connection, COUNTS)).toEqual([[1, 1, 1]]);
        // The last page that the last of them writes.
        await connection.run(`PRAGMA cache_size = 5; BEGIN; ${INTO_ALL}`);
        wires.get(name)?.arm("transaction.tryWrite", 1);
        const error = await connection.run("COMMIT").catch((e: unknown) => e);
        expect(error).toMatchObject({ cause: wires.get(name)?.bug });
        if (connection.inTransaction) await connection.run("ROLLBACK");
        expect(await rowsOf(connection, COUNTS)).toEqual([[1, 1, 1]]);
      }
      const before = NAMES.map((name) => opened.volume(name).status().ahead);
      await connection.run(`BEGIN; ${INTO_ALL}; COMMIT`);
      expect(await rowsOf(connection, COUNTS)).toEqual([[2, 2, 2]]);
      expect(NAMES.map((name) => opened.volume(name).status().ahead)).toEqual(
        before.map((ahead) => ahead + 1),
      );
    });
  }

  it("conflicts whole where one of the volumes has moved on", async () => {
    const opened = await openVolumes(family, NAMES);
    const connection = await opened.connect("main");
    const other = await opened.connect("second");
    await makeAll(connection);
    await connection.run(`BEGIN; ${COUNTS}`);
    await other.run("INSERT INTO t VALUES ('theirs')");
    await connection.run("INSERT INTO main.t VALUES (1)");
    await expect(connection.run("INSERT INTO second.t VALUES (1)")).rejects.toMatchObject({
      code: "conflict",
    });
    await connection.run("ROLLBACK");
    expect(await rowsOf(connection, COUNTS)).toEqual([[1, 2, 1]]);
  });

  it("of a volume that is not open says how to open it, where nobody opens it", async () => {
    const opened = await openVolumes("blocking", ["main"], {
      vfs: {
        resolve: (name) =>
          name === "later" ? async () => Promise.reject(new Error("not asked")) : undefined,
      },
    });
    await expect(opened.connect("later")).rejects.toMatchObject({
      code: "not_found",
      message: expect.stringMatching(/await store\.volume\("later"\)/),
    });
    await expect(opened.connect("nothing")).rejects.toMatchObject({ code: "invalid" });
  });
});
