/**
 * A throw in whatever the VFS calls while SQLite writes: a statement fails with the cause or goes through, never half, nothing crosses into wasm, and the
 * connection goes on.
 */
import { expect, it } from "vitest";
import { isPagefoldError } from "../../src/base/errors.ts";
import type { Connection } from "../../vfs/sqlite/connection.ts";
import { overFamilies } from "./fake-bridge.ts";
import { rowsOf } from "./sqlite.ts";
import { Tripwire } from "./tripwire.ts";
import { openVolumes } from "./volumes.ts";

/** Everything that the VFS uses of a source, its views, its writer and their transactions. */
const POINTS = [
  ...["acquire", "release", "same", "lineage", "writer"],
  ...["view.tryRead", "view.byteLength", "writer.tryBegin", "writer.committed"],
  ...["transaction.tryRead", "transaction.tryWrite", "transaction.tryTruncate", "transaction.byteLength"],
  ...["transaction.prepare", "transaction.rollback"],
];
/** These are used after the point of no return, too: then the transaction is committed although its statement fails. */
const LATE = new Set([
  ...["acquire", "release", "lineage", "writer", "writer.committed", "view.tryRead", "transaction.rollback"],
]);
/** A rollback that did nothing would keep the writer's turn for ever, whoever called it. */
const FAILS_AFTERWARDS = new Set(["transaction.rollback"]);

/** Steps of a workload, each its own transaction; `rows` is what it adds to t. */
const STEPS: readonly { readonly sql: string; readonly rows: number }[] = [
  { sql: "INSERT INTO t(s) VALUES ('one')", rows: 1 },
  { sql: "SELECT count(*) FROM t", rows: 0 },
  {
    sql: "BEGIN; INSERT INTO t(s) VALUES ('two'), ('three'); INSERT INTO t(s) VALUES ('four'); COMMIT",
    rows: 3,
  },
  { sql: "BEGIN; INSERT INTO t(s) VALUES ('gone'); ROLLBACK", rows: 0 },
  {
    sql: `PRAGMA cache_size = 5; BEGIN; INSERT INTO t(s) SELECT hex(zeroblob(600)) FROM big LIMIT 60;
      SELECT count(*) FROM t; COMMIT; PRAGMA cache_size = 100`,
    rows: 60,
  },
  { sql: "VACUUM", rows: 0 },
];

async function count(connection: Connection): Promise<number> {
  return Number((await rowsOf(connection, "SELECT count(*) FROM t"))[0]?.[0]);
}

overFamilies("a throw while writing", (family) => {
  it.each(POINTS)("in %s: the statement fails whole, the connection goes on", async (point) => {
    const wire = new Tripwire();
    const opened = await openVolumes(family, ["db"], { wrap: (source) => wire.watch(source) });
    const connection = await opened.connect("db");
    const witness = await opened.connect("db");
    await connection.run(
      `CREATE TABLE t(i INTEGER PRIMARY KEY, s TEXT); CREATE TABLE big(a); CREATE INDEX ts ON t(s);
       WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100) INSERT INTO big SELECT i FROM c`,
    );
    let fired = 0;
    for (const { sql, rows } of STEPS) {
      // Every use where there are few, else a spread.
      for (let nth = 1, stride = 1; ; nth += stride, stride = nth > 8 ? stride * 2 : 1) {
        // A commit of somebody else, so that the connection has to look anew.
        await witness.run("DELETE FROM t; UPDATE big SET a = a + 1 WHERE rowid = 1");
        wire.arm(point, nth, FAILS_AFTERWARDS.has(point) ? "after" : "before");
        const error = await connection.run(sql).then(
          () => undefined,
          (e: unknown) => e,
        );
        wire.disarm();
        if (!wire.fired) break;
        fired++;
        const what = `${point}, use ${nth} of ${sql}`;
        // A throw in JavaScript before or after SQLite was entered comes out as it is.
        if (error !== undefined)
          expect(isPagefoldError(error) ? error.cause : error, `${what}: ${String(error)}`).toBe(wire.bug);
        if (connection.inTransaction) await connection.run("ROLLBACK");
        const added = await count(witness);
        if (error === undefined) expect(added, what).toBe(rows);
        else expect(LATE.has(point) ? [0, rows] : [0], what).toContain(added);
        expect(await count(connection), what).toBe(added);
      }
    }
    expect(fired, `${point} is never used`).toBeGreaterThan(0);
    expect(await rowsOf(connection, "PRAGMA integrity_check")).toEqual([["ok"]]);
    await connection.run("DELETE FROM t; INSERT INTO t(s) VALUES ('last')");
    expect(await count(witness)).toBe(1);
  });
});
