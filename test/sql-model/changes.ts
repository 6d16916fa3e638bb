/** Random statements that change rows, begin and end transactions, and shrink the file. */
import type { Dice } from "./dice.ts";
import { column, condition, expression, resolution, TABLES, table, value, where } from "./expressions.ts";

export function change(dice: Dice): string {
  return dice.text([
    [12, () => insert(dice)],
    [5, () => insertMany(dice)],
    [9, () => update(dice)],
    [6, () => remove(dice)],
    [3, () => copy(dice)],
    [4, () => searchChange(dice)],
    [3, () => boxChange(dice)],
    [
      1,
      () => `INSERT INTO v${dice.below(2)}(k, a, b) VALUES (${value(dice)}, ${value(dice)}, ${value(dice)})`,
    ],
    [1, () => `UPDATE v${dice.below(2)} SET a = a + 1 WHERE ${condition(dice)}`],
  ]);
}

export function transaction(dice: Dice): string {
  return dice.text([
    [7, () => `BEGIN${dice.sometimes(3, () => ` ${dice.pick(["IMMEDIATE", "EXCLUSIVE", "DEFERRED"])}`)}`],
    [8, "COMMIT"],
    [3, "ROLLBACK"],
    [6, () => `SAVEPOINT s${dice.below(2)}`],
    [2, () => `RELEASE s${dice.below(2)}`],
    [3, () => `ROLLBACK TO s${dice.below(2)}`],
  ]);
}

export function shrinking(dice: Dice): string {
  return dice.text([
    [3, "VACUUM"],
    [2, () => `PRAGMA incremental_vacuum${dice.sometimes(2, () => `(${1 + dice.below(20)})`)}`],
    [2, () => `DELETE FROM ${dice.pick(TABLES)}`],
  ]);
}

function columns(dice: Dice): string[] {
  return dice.pick([
    ["a", "b", "c", "d"],
    ["k", "a", "b", "c", "d"],
    ["k", "a", "b", "c", "d"],
    ["a", "b"],
    ["k", "b"],
  ]);
}

function verb(dice: Dice): string {
  return dice.text([
    [6, "INSERT"],
    [3, () => `INSERT OR ${resolution(dice)}`],
    [1, "REPLACE"],
  ]);
}

function insert(dice: Dice): string {
  const names = columns(dice);
  const row = () => `(${names.map((name) => (name === "k" ? `${dice.below(70)}` : value(dice))).join(", ")})`;
  const rows = dice.several(1, dice.pick([1, 1, 2, 5]), row);
  const returning = dice.sometimes(5, () => ` RETURNING ${dice.pick(["*", "k, a", "length(b), typeof(c)"])}`);
  return `${verb(dice)} INTO ${table(dice)}(${names.join(", ")}) VALUES ${rows}${upsert(dice)}${returning}`;
}

function upsert(dice: Dice): string {
  return dice.sometimes(5, () => {
    const target = dice.text([
      [2, "(k)"],
      [1, "(a)"],
      [1, "(b)"],
      [2, ""],
    ]);
    const action = dice.text([
      [1, "NOTHING"],
      [
        3,
        () =>
          `UPDATE SET ${dice.pick(["a", "b", "c"])} = excluded.b${dice.sometimes(2, ", d = coalesce(d, 0) + 1")}`,
      ],
    ]);
    return ` ON CONFLICT${target} DO ${target === "" ? "NOTHING" : action}`;
  });
}

/** So many rows at once that the page cache is too small for them. */
function insertMany(dice: Dice): string {
  const count = dice.pick([10, 40, 150, 400]);
  const length = count > 100 ? dice.pick([5, 50]) : dice.pick([5, 200, 1500]);
  const start = dice.below(100);
  const key = dice.chance(0.4);
  const a = dice.pick(["i", `i * ${1 + dice.below(50)} % 211`]);
  const d = dice.pick(["NULL", "i % 7", "i"]);
  return (
    `WITH RECURSIVE n(i) AS (SELECT ${start} UNION ALL SELECT i + 1 FROM n WHERE i < ${start + count}) ` +
    `${verb(dice)} INTO ${table(dice)}(${key ? "k, " : ""}a, b, c, d) ` +
    `SELECT ${key ? "i, " : ""}${a}, 'row ' || i, printf('%0*d', ${length}, i * 7919 % 1000), ${d} FROM n`
  );
}

function update(dice: Dice): string {
  const or = dice.sometimes(4, () => `OR ${resolution(dice)} `);
  const sets = dice.several(
    1,
    2,
    () =>
      `${dice.weighted([
        [6, dice.pick(["a", "b", "c", "d"])],
        [1, column(dice)],
      ])} = ${expression(dice)}`,
  );
  const from = dice.sometimes(
    10,
    () => ` FROM (SELECT k AS kk FROM ${dice.pick(TABLES)} ORDER BY 1 LIMIT 5)`,
  );
  const clause = from === "" ? where(dice) : ` WHERE k = kk AND ${condition(dice)}`;
  return `UPDATE ${or}${table(dice)} SET ${sets}${from}${clause}${dice.sometimes(6, " RETURNING k, a")}`;
}

function remove(dice: Dice): string {
  return `DELETE FROM ${table(dice)} WHERE ${condition(dice)}${dice.sometimes(6, " RETURNING k, b")}`;
}

function copy(dice: Dice): string {
  const limit = ` LIMIT ${dice.pick([3, 20, 60])}`;
  return `${verb(dice)} INTO ${table(dice)}(a, b, c, d) SELECT ${expression(dice)}, b, c, d FROM ${dice.pick(TABLES)}${where(dice)} ORDER BY a, b, k${limit}`;
}

function words(dice: Dice): string {
  return `'${dice.several(1, 8, () => `${dice.pick(["lorem", "ipsum", "dolor", "row", "abc", "x"])}${dice.sometimes(2, () => `${dice.below(40)}`)}`, " ")}'`;
}

function searchChange(dice: Dice): string {
  const id = dice.below(60);
  return dice.text([
    [
      5,
      () =>
        `${dice.pick(["INSERT", "INSERT OR IGNORE", "REPLACE"])} INTO f0(rowid, b, c) VALUES (${id}, ${words(dice)}, ${words(dice)})`,
    ],
    [
      2,
      () =>
        `INSERT INTO f0(b, c) SELECT b, printf('%.200s', c) FROM ${dice.pick(TABLES)} ORDER BY a, k LIMIT 30`,
    ],
    [2, () => `UPDATE f0 SET b = ${words(dice)} WHERE rowid = ${id}`],
    [2, () => `DELETE FROM f0 WHERE rowid ${dice.pick(["=", "<"])} ${dice.below(30)}`],
    [
      1,
      () =>
        `INSERT INTO f0(f0) VALUES ('${dice.pick(["optimize", "rebuild", "delete-all", "integrity-check"])}')`,
    ],
    [
      1,
      () =>
        `INSERT INTO f0(f0, rank) VALUES ('${dice.pick(["merge", "pgsz", "automerge"])}', ${dice.pick([2, 8, 64])})`,
    ],
  ]);
}

function boxChange(dice: Dice): string {
  const x = dice.below(100);
  const y = dice.below(100);
  return dice.text([
    [
      3,
      () =>
        `${verb(dice)} INTO r0(k, x0, x1, y0, y1) VALUES (${dice.below(50)}, ${x}, ${x + dice.below(9)}, ${y}, ${y + dice.below(9)})`,
    ],
    [
      2,
      () =>
        `INSERT OR IGNORE INTO r0(k, x0, x1, y0, y1) WITH RECURSIVE n(i) AS (SELECT ${x} UNION ALL SELECT i + 1 FROM n WHERE i < ${x + dice.pick([5, 80])}) ` +
        "SELECT i, i % 13, i % 13 + 2, i % 17, i % 17 + 3 FROM n",
    ],
    [1, () => `UPDATE r0 SET x0 = x0 - 1, x1 = x1 + 1 WHERE k < ${dice.below(80)}`],
    [2, () => `DELETE FROM r0 WHERE ${dice.pick([`k = ${x}`, `x0 > ${x}`, `y1 < ${y}`])}`],
  ]);
}
