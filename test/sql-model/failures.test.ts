/** What the model has found where a statement fails below SQLite: the store cannot be reached in the middle of it. */
import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { expect, it } from "vitest";
import { loadCodecs } from "../../src/format/codecs.ts";
import { check } from "./checks.ts";
import type { Options } from "./site.ts";
import { World } from "./world.ts";

const OPTIONS: Options = {
  seed: 1,
  pageSize: 1024,
  memoryBytes: 2 ** 20,
  diskBytes: 0,
  transactionBytes: 2 ** 22,
  tempBytes: 2 ** 22,
  relaxed: false,
  suspending: false,
};
const INSERT = "INSERT INTO f0(rowid, b) VALUES (1000, 'lorem ipsum 77')";

const ROWS =
  "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) INSERT INTO f0(rowid, b) SELECT i, 'row ' || i || ' lorem ' || i * 7 FROM n";

for (const [what, table, rows] of [
  ["a table", "fts5(b)", [ROWS]],
  ["an empty table", "fts5(b)", []],
  ["a contentless table", "fts5(b, content='')", [ROWS]],
  ["an empty contentless table", "fts5(b, content='')", []],
] as const)
  it(`full-text search counts rows right after an insert into ${what} that failed at any of its reads`, async () => {
    const sqlite3 = await sqlite3InitModule();
    sqlite3.config.warn = () => {};
    const codecs = await loadCodecs();
    for (let batches = 0, failures = 1; failures > 0; batches++) {
      const opening = ["CREATE TABLE t(x)", `CREATE VIRTUAL TABLE f0 USING ${table}`, ...rows];
      const world = await World.create({ sqlite3, codecs }, OPTIONS, opening);
      const { site } = world.current;
      // Local commits are not fetched: so the first failure comes late.
      await world.sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150) INSERT INTO t SELECT 'row ' || i FROM n",
      );
      await site.forget();
      site.line.failIn = batches;
      // Fails, is tried again, and is held against SQLite alone.
      await world.sql(INSERT);
      failures = world.seen.get("unavailable") ?? 0;
      if (batches === 0) expect(failures, "an insert that reads nothing").toBe(1);
      await world.sql("INSERT INTO f0(f0) VALUES ('integrity-check')");
      await check(world, `after a failure of batch ${batches}`);
      await world.close();
    }
  });
