/** Random queries, and the programs' mix of statements. */
import { change, shrinking, transaction } from "./changes.ts";
import { definition, setting } from "./definitions.ts";
import type { Dice } from "./dice.ts";
import { condition, expression, TABLES, table, where } from "./expressions.ts";

/** A statement as a program may have it anywhere. */
export function statement(dice: Dice): string {
  return dice.text([
    [30, () => change(dice)],
    [10, () => transaction(dice)],
    [10, () => query(dice)],
    [6, () => definition(dice)],
    [2, () => setting(dice)],
    [2, () => shrinking(dice)],
  ]);
}

export function query(dice: Dice): string {
  return dice.text([
    [4, () => `SELECT * FROM ${table(dice)}${where(dice)}`],
    [
      2,
      () =>
        `SELECT ${expression(dice)}, ${expression(dice)} FROM ${table(dice)}${where(dice)} ORDER BY 1, 2, k LIMIT 30`,
    ],
    [2, () => `SELECT a, count(*), sum(length(b)), max(c), min(k) FROM ${table(dice)} GROUP BY a ORDER BY a`],
    [2, () => join(dice)],
    [2, () => windowed(dice)],
    [1, () => recursive(dice)],
    [
      1,
      () =>
        `SELECT k, a, b FROM ${dice.pick(TABLES)} ${dice.pick(["UNION", "EXCEPT", "INTERSECT", "UNION ALL"])} SELECT k, a, b FROM ${dice.pick(TABLES)} ORDER BY 1, 2, 3`,
    ],
    [2, () => searchQuery(dice)],
    [1, () => boxQuery(dice)],
    [1, () => `SELECT * FROM v${dice.below(2)}`],
    [1, "SELECT changes(), last_insert_rowid()"],
    [1, () => dice.pick(INSPECTIONS)],
  ]);
}

const INSPECTIONS = [
  "PRAGMA page_count",
  "PRAGMA freelist_count",
  "PRAGMA page_size",
  "PRAGMA auto_vacuum",
  "PRAGMA user_version",
  "PRAGMA schema_version",
  "SELECT schema, name, type, ncol, wr, strict FROM pragma_table_list ORDER BY 1, 2",
  "PRAGMA foreign_key_check",
  "PRAGMA quick_check",
  "SELECT name, origin, partial FROM pragma_index_list('t0') ORDER BY 1",
  "SELECT * FROM sqlite_sequence",
  "SELECT name, sum(pgsize), sum(payload) FROM dbstat GROUP BY name ORDER BY name",
  "SELECT type, name, tbl_name, rootpage, sql FROM sqlite_schema",
];

function join(dice: Dice): string {
  const how = dice.pick(["JOIN", "LEFT JOIN", "FULL JOIN"]);
  const on = dice.pick(["x.a = y.a", "x.k = y.k", "x.b = y.b", "x.d = y.k"]);
  return `SELECT x.k, y.k, x.b, y.a FROM ${dice.pick(TABLES)} x ${how} ${dice.pick(TABLES)} y ON ${on} ORDER BY 1, 2, 3, 4 LIMIT 100`;
}

function windowed(dice: Dice): string {
  const frame = dice.pick(["", " ROWS BETWEEN 2 PRECEDING AND CURRENT ROW", " GROUPS 1 PRECEDING"]);
  const call = dice.pick([
    "sum(length(b))",
    "row_number()",
    "rank()",
    "lag(a, 2)",
    "first_value(b)",
    "group_concat(k, ',')",
  ]);
  return `SELECT k, a, ${call} OVER (PARTITION BY a % ${2 + dice.below(4)} ORDER BY k, a, b${frame}) FROM ${dice.pick(TABLES)} ORDER BY k, a, b`;
}

function recursive(dice: Dice): string {
  const start = dice.below(10);
  return `WITH RECURSIVE r(k, depth) AS (SELECT ${start}, 0 UNION SELECT t.d, depth + 1 FROM r JOIN ${dice.pick(TABLES)} t ON t.k = r.k WHERE depth < 20) SELECT * FROM r ORDER BY 2, 1 LIMIT 50`;
}

function searchQuery(dice: Dice): string {
  const term = dice.pick([
    "lorem",
    "row",
    "ipsum OR dolor",
    "x*",
    "abc NOT row",
    '"lorem ipsum"',
    "row1*",
    "NEAR(lorem row)",
  ]);
  return dice.text([
    [3, () => `SELECT rowid, b FROM f0 WHERE f0 MATCH '${term}' ORDER BY rowid LIMIT 40`],
    [1, () => `SELECT rowid, highlight(f0, 0, '[', ']') FROM f0('${term}') ORDER BY rank, rowid LIMIT 10`],
    [1, "SELECT count(*), sum(length(b)) FROM f0"],
  ]);
}

function boxQuery(dice: Dice): string {
  return dice.text([
    [2, () => `SELECT * FROM r0 WHERE x0 < ${dice.below(100)} AND y1 > ${dice.below(100)} ORDER BY k`],
    [1, "SELECT rtreecheck('r0')"],
    [1, () => `SELECT k FROM r0 WHERE ${dice.chance(0.5) ? "k" : "x1"} > ${dice.below(60)} ORDER BY k`],
    [
      1,
      () =>
        `SELECT count(*) FROM r0, ${dice.pick(TABLES)} t WHERE r0.k = t.k AND t.${condition(dice).startsWith("a") ? "a > 3" : "k > 2"}`,
    ],
  ]);
}
