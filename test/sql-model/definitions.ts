/** Random statements that change the schema, or settings that belong to the file. */
import type { Dice } from "./dice.ts";
import { column, condition, expression, resolution, TABLES, value, where } from "./expressions.ts";

const TEMP_TABLE = "CREATE TEMP TABLE IF NOT EXISTS tt(k INTEGER PRIMARY KEY, a, b, c, d)";

/**
 * Statements with which a program may begin: what must be decided before the first page is written, then some tables.
 * @param largestPage bytes
 */
export function opening(dice: Dice, largestPage: number): string[] {
  const { statements, take } = collector();
  const sizes = [512, 1024, 4096, 8192, 65_536].filter((size) => size <= largestPage);
  take(dice.sometimes(2, () => `PRAGMA page_size = ${dice.pick(sizes)}`));
  take(dice.sometimes(2, () => `PRAGMA auto_vacuum = ${dice.pick(["FULL", "INCREMENTAL"])}`));
  take(dice.sometimes(8, () => `PRAGMA encoding = '${dice.pick(["UTF-16le", "UTF-16be"])}'`));
  take(dice.sometimes(2, () => `PRAGMA cache_size = ${dice.pick([1, 3, 10, -20])}`));
  take(dice.sometimes(2, "PRAGMA foreign_keys = ON"));
  take(dice.sometimes(4, "PRAGMA recursive_triggers = ON"));
  for (const name of TABLES.slice(0, 3 + dice.below(2))) take(createTable(dice, name));
  take(dice.sometimes(2, TEMP_TABLE));
  for (let n = dice.below(4); n > 0; n--) take(createIndex(dice));
  take(dice.sometimes(2, () => createSearch(dice)));
  take(dice.sometimes(2, () => createBoxes(dice)));
  take(dice.sometimes(2, () => createView(dice)));
  take(dice.sometimes(2, () => createTrigger(dice)));
  return statements;
}

function collector() {
  const statements: string[] = [];
  return { statements, take: (sql: string) => sql !== "" && statements.push(sql) };
}

export function definition(dice: Dice): string {
  return dice.text([
    [9, () => createTable(dice, dice.pick(TABLES))],
    [1, TEMP_TABLE],
    [1, () => `CREATE TABLE t9 AS SELECT k, a, b, c, d FROM ${dice.pick(TABLES)}${where(dice)} LIMIT 40`],
    [2, () => `DROP TABLE ${dice.sometimes(3, "IF EXISTS ")}${dice.pick([...TABLES, "t9", "temp.tt"])}`],
    [4, () => alterTable(dice)],
    [8, () => createIndex(dice)],
    [3, () => `DROP INDEX i${dice.below(6)}`],
    [4, () => createTrigger(dice)],
    [2, () => `DROP TRIGGER ${dice.sometimes(2, "IF EXISTS ")}g${dice.below(4)}`],
    [3, () => createView(dice)],
    [1, () => `DROP VIEW v${dice.below(2)}`],
    [3, () => createSearch(dice)],
    [1, "DROP TABLE f0"],
    [3, () => createBoxes(dice)],
    [1, "DROP TABLE r0"],
    [1, () => `ANALYZE${dice.sometimes(2, () => ` ${dice.pick(TABLES)}`)}`],
    [1, () => `REINDEX${dice.sometimes(2, () => ` ${dice.pick(TABLES)}`)}`],
  ]);
}

export function setting(dice: Dice): string {
  return dice.text([
    [2, () => `PRAGMA cache_size = ${dice.pick([1, 2, 5, 20, -50, 200])}`],
    [1, () => `PRAGMA cache_spill = ${dice.pick(["ON", "OFF", "1"])}`],
    [1, () => `PRAGMA foreign_keys = ${dice.pick(["ON", "OFF"])}`],
    [1, () => `PRAGMA defer_foreign_keys = ${dice.pick(["ON", "OFF"])}`],
    [1, () => `PRAGMA secure_delete = ${dice.pick(["ON", "OFF", "FAST"])}`],
    [1, () => `PRAGMA user_version = ${dice.below(1000)}`],
    [1, () => `PRAGMA auto_vacuum = ${dice.pick(["FULL", "INCREMENTAL", "NONE"])}`],
    [1, () => `PRAGMA reverse_unordered_selects = ${dice.pick(["ON", "OFF"])}`],
    [1, () => `PRAGMA recursive_triggers = ${dice.pick(["ON", "OFF"])}`],
    [1, () => `PRAGMA automatic_index = ${dice.pick(["ON", "OFF"])}`],
    [1, () => dice.pick(["PRAGMA optimize", "PRAGMA shrink_memory"])],
    [1, () => `PRAGMA temp_store = ${dice.pick(["FILE", "MEMORY"])}`],
  ]);
}

function createTable(dice: Dice, name: string): string {
  return dice.text([
    [6, () => rowidTable(dice, name)],
    [2, () => withoutRowid(dice, name)],
    [1, () => `CREATE TABLE ${name}(k INTEGER PRIMARY KEY, a INT, b TEXT, c ANY, d REAL) STRICT`],
  ]);
}

function rowidTable(dice: Dice, name: string): string {
  const key = dice.pick([
    "INTEGER PRIMARY KEY",
    "INTEGER PRIMARY KEY",
    "INTEGER PRIMARY KEY AUTOINCREMENT",
    "INT",
  ]);
  const columns = [
    `k ${key}`,
    `a ${dice.pick(["", "INT", "NUMERIC"])}${unique(dice, 4)}${dice.sometimes(5, ` NOT NULL DEFAULT 7`)}`,
    `b TEXT${dice.sometimes(3, " COLLATE NOCASE")}${unique(dice, 6)}${dice.sometimes(4, " DEFAULT 'none'")}`,
    `c${dice.sometimes(5, () => ` CHECK(${dice.pick(["length(c) < 8000", "c <> a", "typeof(c) <> 'blob'"])})`)}`,
    `d${dice.sometimes(3, () => reference(dice))}`,
    dice.sometimes(4, () => generated(dice)),
    dice.sometimes(6, () => `UNIQUE(a, d)${dice.sometimes(2, () => ` ON CONFLICT ${resolution(dice)}`)}`),
  ];
  return `CREATE TABLE ${name}(${columns.filter((text) => text !== "").join(", ")})`;
}

function withoutRowid(dice: Dice, name: string): string {
  const key = dice.pick(["PRIMARY KEY(k)", "PRIMARY KEY(a, b)", "PRIMARY KEY(b, k DESC)"]);
  const more = dice.sometimes(3, () => `, ${generated(dice)}`);
  return `CREATE TABLE ${name}(k INT, a INT, b TEXT${dice.sometimes(2, " COLLATE NOCASE")}, c, d${more}, ${key}) WITHOUT ROWID`;
}

function unique(dice: Dice, n: number): string {
  return dice.sometimes(n, () => ` UNIQUE${dice.sometimes(2, () => ` ON CONFLICT ${resolution(dice)}`)}`);
}

function reference(dice: Dice): string {
  const action = dice.pick(["CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT", "NO ACTION"]);
  const events = dice.pick(["ON DELETE", "ON UPDATE"]);
  const deferred = dice.sometimes(2, " DEFERRABLE INITIALLY DEFERRED");
  return ` REFERENCES ${dice.pick(TABLES)}(k) ${events} ${action}${deferred}`;
}

function generated(dice: Dice): string {
  const what = dice.pick(["coalesce(a, 0) + 1", "length(b)", "substr(b, 1, 10)", "b || a"]);
  return `g AS (${what}) ${dice.pick(["STORED", "VIRTUAL"])}`;
}

function alterTable(dice: Dice): string {
  const name = dice.pick([...TABLES, "t9"]);
  return dice.text([
    [1, "ALTER TABLE t3 RENAME TO t9"],
    [2, "ALTER TABLE t9 RENAME TO t3"],
    [1, () => `ALTER TABLE ${name} RENAME COLUMN d TO e`],
    [3, () => `ALTER TABLE ${name} RENAME COLUMN e TO d`],
    [
      3,
      () =>
        `ALTER TABLE ${name} ADD COLUMN x${dice.below(3)} ${dice.pick(["", "TEXT DEFAULT 'late'", "INT NOT NULL DEFAULT 5"])}`,
    ],
    [1, () => `ALTER TABLE ${name} ADD COLUMN y${dice.below(3)} AS (length(b) + 1)`],
    [2, () => `ALTER TABLE ${name} DROP COLUMN ${dice.pick(["x0", "x1", "y0", "g"])}`],
  ]);
}

function createIndex(dice: Dice): string {
  const on = dice.text([
    [3, () => `(${column(dice)}${dice.sometimes(3, " DESC")})`],
    [2, () => `(${column(dice)}, ${column(dice)})`],
    [1, "(lower(b))"],
    [1, "(coalesce(a, 0) + length(b), k)"],
    [1, "(b COLLATE NOCASE, a)"],
    [1, "(c, substr(b, 1, 5))"],
  ]);
  const some = dice.sometimes(
    3,
    () => ` WHERE ${dice.pick(["a > 5", "b IS NOT NULL", "d IS NULL", "k % 2 = 0"])}`,
  );
  return `CREATE ${dice.sometimes(5, "UNIQUE ")}INDEX i${dice.below(6)} ON ${dice.pick(TABLES)}${on}${some}`;
}

function createTrigger(dice: Dice): string {
  const row = dice.pick(["INSERT", "UPDATE", "DELETE"]);
  const event = row === "UPDATE" ? dice.pick(["UPDATE", "UPDATE OF a", "UPDATE OF b, c"]) : row;
  const instead = dice.chance(0.15);
  const on = instead ? `v${dice.below(2)}` : dice.pick(TABLES);
  const when = dice.sometimes(
    3,
    () => ` WHEN ${row === "DELETE" ? "old" : "new"}.a ${dice.pick([">", "<"])} ${dice.below(25)}`,
  );
  const body = dice.several(1, 2, () => triggerStep(dice, row === "DELETE" ? "old" : "new"), "; ");
  const time = instead ? "INSTEAD OF" : dice.pick(["BEFORE", "AFTER"]);
  return `CREATE ${dice.sometimes(10, "TEMP ")}TRIGGER g${dice.below(4)} ${time} ${event} ON ${on}${when} BEGIN ${body}; END`;
}

function triggerStep(dice: Dice, row: "old" | "new"): string {
  const into = dice.pick(TABLES);
  return dice.text([
    [3, () => `INSERT OR ${resolution(dice)} INTO ${into}(a, b) VALUES (${row}.a + 1, 'by trigger')`],
    [2, () => `UPDATE ${into} SET b = ${value(dice)} WHERE k = ${row}.a`],
    [1, () => `UPDATE OR ${resolution(dice)} ${into} SET a = a + 1 WHERE a = ${row}.a`],
    [2, () => `DELETE FROM ${into} WHERE k = ${row}.a + ${dice.below(4)}`],
    [
      1,
      () =>
        `SELECT RAISE(${dice.pick(["IGNORE", "ABORT, 'no'", "FAIL, 'no'", "ROLLBACK, 'no'"])}) WHERE ${row}.a = ${dice.below(12)}`,
    ],
  ]);
}

function createView(dice: Dice): string {
  const query = dice.text([
    [2, () => `SELECT k, a, b, c, d FROM ${dice.pick(TABLES)} WHERE ${condition(dice)}`],
    [
      1,
      () =>
        `SELECT x.k, x.a, y.b, y.c, x.d FROM ${dice.pick(TABLES)} x JOIN ${dice.pick(TABLES)} y ON x.a = y.a`,
    ],
    [
      1,
      () =>
        `SELECT max(k) AS k, a, min(b) AS b, count(*) AS c, ${expression(dice)} AS d FROM ${dice.pick(TABLES)} GROUP BY a`,
    ],
  ]);
  return `CREATE VIEW v${dice.below(2)} AS ${query}`;
}

function createSearch(dice: Dice): string {
  const options = dice.text([
    [3, ""],
    [1, ", prefix='2 3'"],
    [1, ", tokenize='trigram'"],
    [1, ", tokenize='porter'"],
    [1, ", detail='none'"],
    [1, ", content=''"],
    [1, ", content='t0', content_rowid='k'"],
  ]);
  return `CREATE VIRTUAL TABLE f0 USING fts5(b, c${options})`;
}

function createBoxes(dice: Dice): string {
  return `CREATE VIRTUAL TABLE r0 USING ${dice.pick(["rtree", "rtree_i32"])}(k, x0, x1, y0, y1${dice.sometimes(2, ", +b")})`;
}
