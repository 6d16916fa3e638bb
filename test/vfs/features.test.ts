/** What applications use of SQLite works on a volume as it does elsewhere, and arrives at the next reader. */
import { describe, expect, it } from "vitest";
import type { Database } from "../../vfs/index.ts";
import { openOver, overBridges, SharedDatabase } from "./bridges.ts";
import { importInto } from "./remotes.ts";
import { buildDatabase } from "./sqlite.ts";

/** Makes a table, then runs each query: SQL to its rows, as arrays. */
interface Feature {
  readonly make: string;
  readonly expected: Readonly<Record<string, unknown[][]>>;
}

const FEATURES: Readonly<Record<string, Feature>> = {
  FTS5: {
    make: `CREATE VIRTUAL TABLE notes USING fts5(title, body, tokenize = 'porter');
      INSERT INTO notes VALUES ('first', 'running quickly'), ('second', 'the quick runner'), ('third', 'nothing here');
      DELETE FROM notes WHERE title = 'third'; UPDATE notes SET body = 'runs and stops' WHERE title = 'second';
      INSERT INTO notes(notes) VALUES ('optimize'), ('integrity-check')`,
    expected: {
      "SELECT title FROM notes WHERE notes MATCH 'run' ORDER BY rank": [["first"], ["second"]],
      "SELECT highlight(notes, 1, '[', ']') FROM notes WHERE notes MATCH 'quick*'": [["running [quickly]"]],
      "SELECT count(*) FROM notes WHERE notes MATCH 'nothing'": [[0]],
    },
  },
  "R-Tree": {
    make: `CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1, y0, y1);
      WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i < 999)
      INSERT INTO boxes SELECT i, i % 40, i % 40 + 0.5, i / 40, i / 40 + 0.5 FROM c; DELETE FROM boxes WHERE id % 2 = 1`,
    expected: {
      "SELECT id FROM boxes WHERE x0 >= 10 AND x1 <= 13 AND y0 >= 5 AND y1 <= 7 ORDER BY id": [
        [210],
        [212],
        [250],
        [252],
      ],
      "SELECT rtreecheck('boxes')": [["ok"]],
    },
  },
  triggers: {
    make: `CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER); CREATE TABLE history(account, was, now);
      CREATE TRIGGER log_change AFTER UPDATE OF balance ON account WHEN old.balance <> new.balance
        BEGIN INSERT INTO history VALUES (new.id, old.balance, new.balance); END;
      CREATE VIEW rich AS SELECT * FROM account WHERE balance > 100;
      CREATE TRIGGER into_rich INSTEAD OF INSERT ON rich BEGIN INSERT INTO account VALUES (new.id, new.balance + 100); END;
      INSERT INTO account VALUES (1, 10), (2, 20); UPDATE account SET balance = balance * (id - 1) + 20; INSERT INTO rich VALUES (9, 1)`,
    expected: {
      "SELECT * FROM history": [
        [1, 10, 20],
        [2, 20, 40],
      ],
      "SELECT * FROM rich": [[9, 101]],
    },
  },
  "foreign keys": {
    make: `PRAGMA foreign_keys = ON; CREATE TABLE parent(id INTEGER PRIMARY KEY);
      CREATE TABLE child(id INTEGER PRIMARY KEY, parent REFERENCES parent ON DELETE CASCADE);
      CREATE TABLE note(id INTEGER PRIMARY KEY, parent REFERENCES parent ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED);
      BEGIN; INSERT INTO note VALUES (1, 1); INSERT INTO parent VALUES (1), (2); COMMIT;
      INSERT INTO child VALUES (10, 1), (11, 1), (12, 2); DELETE FROM parent WHERE id = 1`,
    expected: {
      "SELECT id FROM child": [[12]],
      "SELECT * FROM note": [[1, null]],
      "PRAGMA foreign_key_check": [],
    },
  },
  "ALTER TABLE": {
    make: `CREATE TABLE was(a, b, c DEFAULT 3); CREATE INDEX was_b ON was(b); INSERT INTO was VALUES (1, 2, 3), (4, 5, 6);
      ALTER TABLE was RENAME TO altered; ALTER TABLE altered RENAME COLUMN a TO first; ALTER TABLE altered ADD COLUMN d DEFAULT 'new';
      ALTER TABLE altered DROP COLUMN c; UPDATE altered SET d = 'old' WHERE first = 4`,
    expected: {
      "SELECT * FROM altered ORDER BY b": [
        [1, 2, "new"],
        [4, 5, "old"],
      ],
      "SELECT name FROM pragma_index_list('altered')": [["was_b"]],
    },
  },
  "generated columns, WITHOUT ROWID, STRICT, expression and partial indexes": {
    make: `CREATE TABLE goods(code TEXT PRIMARY KEY, net REAL NOT NULL, gross REAL AS (net * 1.25) STORED) STRICT, WITHOUT ROWID;
      CREATE INDEX goods_by ON goods(lower(code)) WHERE net > 1;
      INSERT INTO goods VALUES ('A', 4.0), ('b', 8.0), ('C', 1.0)
        ON CONFLICT DO NOTHING; INSERT INTO goods VALUES ('A', 16.0) ON CONFLICT(code) DO UPDATE SET net = excluded.net`,
    expected: {
      "SELECT code, gross FROM goods ORDER BY lower(code)": [
        ["A", 20],
        ["b", 10],
        ["C", 1.25],
      ],
      "SELECT code FROM goods INDEXED BY goods_by WHERE net > 1 AND lower(code) = 'a'": [["A"]],
    },
  },
  "JSON and window functions over a recursive query": {
    make: `CREATE TABLE docs(doc); INSERT INTO docs SELECT json_object('id', value, 'tags', json_array('t' || (value % 3))) FROM
        (WITH RECURSIVE s(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM s WHERE value < 30) SELECT value FROM s)`,
    expected: {
      "SELECT doc ->> '$.tags[0]' AS tag, count(*) FROM docs GROUP BY 1 ORDER BY 1": [
        ["t0", 10],
        ["t1", 10],
        ["t2", 10],
      ],
      "SELECT id, lag(id) OVER (ORDER BY id DESC) FROM (SELECT doc ->> 'id' AS id FROM docs) ORDER BY 1 DESC LIMIT 2":
        [
          [30, null],
          [29, 30],
        ],
    },
  },
};

async function check(database: Database, { expected }: Feature): Promise<void> {
  for (const [sql, rows] of Object.entries(expected))
    expect({ sql, rows: (await database.execute(sql)).rows }).toEqual({ sql, rows });
}

overBridges("features of SQLite", (bridge) => {
  const shared = new SharedDatabase(bridge);

  it.each(Object.entries(FEATURES))("%s", async (_, feature) => {
    const { database } = shared;
    await database.exec(feature.make);
    await check(database, feature);
    // And within a transaction that is rolled back.
    await database.exec("BEGIN");
    await check(database, feature);
    await database.exec("CREATE TABLE gone(a); ROLLBACK");
    await check(database, feature);
  });

  it("and all of it arrives whole at the next reader", async () => {
    await shared.database.push();
    const other = await openOver(bridge, shared.remote);
    for (const feature of Object.values(FEATURES)) await check(other, feature);
    expect(await other.query("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
    await expect(
      other.exec("PRAGMA foreign_keys = ON; INSERT INTO child VALUES (20, 77)"),
    ).rejects.toMatchObject({
      code: "invalid",
      message: expect.stringMatching(/FOREIGN KEY/),
    });
  });

  describe("an imported database", () => {
    it("that was in WAL mode, is read and written as any other", async () => {
      const bytes = await buildDatabase("CREATE TABLE t(a); INSERT INTO t VALUES (1), (2)");
      bytes[18] = 2;
      bytes[19] = 2;
      const remote = await bridge.remote();
      await importInto(remote, bytes);
      const database = await openOver(bridge, remote);
      expect(await database.query("SELECT a FROM t")).toEqual([{ a: 1 }, { a: 2 }]);
      expect(await database.query("PRAGMA journal_mode")).toEqual([{ journal_mode: "truncate" }]);
      await database.exec("BEGIN; INSERT INTO t VALUES (3); ROLLBACK; INSERT INTO t VALUES (4)");
      await database.push();
      const other = await openOver(bridge, remote);
      expect(await other.query("SELECT a FROM t")).toEqual([{ a: 1 }, { a: 2 }, { a: 4 }]);
      expect(await other.query("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
    });
  });
});
