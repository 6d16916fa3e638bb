/**
 * Names, values and conditions of the random programs. All tables have the columns k, a, b, c and d, so that most statements fit most tables;
 * nothing depends on time or chance, so that databases that are equal stay so.
 */
import type { Dice } from "./dice.ts";

export const TABLES = ["t0", "t1", "t2", "t3"] as const;
const BIG_INTEGERS = [
  "9007199254740991",
  "9007199254740993",
  "9223372036854775807",
  "-9223372036854775808",
  "-2147483649",
];
const REALS = ["0.5", "-1.25", "1e300", "3.0", "1e-7", "123456789.125"];
const WORDS = ["", "a", "B", "abc", "ABC", "lorem", "ipsum dolor", "Straße", "日本語", "it''s"];
const LONG_LENGTHS = [60, 300, 700, 1500, 4000, 9000, 30_000];

/** t9 is what a rename makes of a table. */
export function table(dice: Dice): string {
  return dice.text([
    [40, () => dice.pick(TABLES)],
    [1, "t9"],
    [2, "temp.tt"],
  ]);
}

export function column(dice: Dice): string {
  return dice.pick(["a", "b", "c", "d", "k"]);
}

/** What happens to a row that breaks a constraint. */
export function resolution(dice: Dice): string {
  return dice.pick(["ABORT", "FAIL", "IGNORE", "ROLLBACK", "REPLACE"]);
}

export function value(dice: Dice): string {
  return dice.text([
    [12, () => `${dice.below(30)}`],
    [3, () => `${-dice.below(1000)}`],
    [1, () => dice.pick(BIG_INTEGERS)],
    [2, () => dice.pick(REALS)],
    [6, () => `'${dice.pick(WORDS)}'`],
    [3, () => `'row ${dice.below(100)}'`],
    [3, () => long(dice)],
    [1, () => `x'${dice.pick(["", "00", "00ff10", "ffffffff00"])}'`],
    [2, "NULL"],
  ]);
}

/** So long that a row needs overflow pages, or nearly; of few different bytes, or of many. */
function long(dice: Dice): string {
  const length = dice.pick(LONG_LENGTHS);
  return dice.text([
    [2, () => `printf('%.*c', ${length}, '${dice.pick(["x", "y", "é"])}')`],
    [2, () => `printf('%0*d', ${length}, ${dice.below(1e6)})`],
    [1, () => `zeroblob(${length})`],
    [1, () => `CAST(printf('%0*d', ${length}, ${dice.below(1e6)}) AS BLOB)`],
    [2, () => `replace(printf('%.*c', ${length >> 4}, 'q'), 'q', '${dice.below(1e6)} lorem ')`],
  ]);
}

/** A value made of a row. */
export function expression(dice: Dice): string {
  return dice.text([
    [6, () => value(dice)],
    [2, () => `a + ${dice.below(5)}`],
    [1, "a * 2"],
    [1, () => `a % ${2 + dice.below(9)}`],
    [2, () => `b || '${dice.pick([".", "xyz"])}'`],
    [1, "substr(b, 1, 20)"],
    [1, "upper(b)"],
    [1, "c"],
    [1, "coalesce(d, a, 0) + 1"],
    [1, "length(c)"],
    [1, "CASE WHEN a > 10 THEN b ELSE c END"],
    [1, () => `(SELECT max(a) FROM ${dice.pick(TABLES)})`],
    [1, () => `(SELECT count(*) FROM ${dice.pick(TABLES)} x WHERE x.a < 9)`],
  ]);
}

export function condition(dice: Dice): string {
  return dice.text([
    [4, () => `a ${dice.pick(["=", "<", ">", "<=", "<>"])} ${dice.below(30)}`],
    [3, () => `k ${dice.pick(["=", "<", ">"])} ${dice.below(60)}`],
    [2, () => `k BETWEEN ${dice.below(40)} AND ${dice.below(80)}`],
    [2, () => `b LIKE '${dice.pick(["a%", "row 1%", "%o%", "x%"])}'`],
    [1, () => `b = '${dice.pick(WORDS)}'`],
    [1, () => `b IN ('abc', 'ABC', 'row ${dice.below(50)}')`],
    [1, "c IS NOT NULL"],
    [1, "d IS NULL"],
    [1, () => `length(b) > ${dice.pick([2, 100, 2000])}`],
    [1, () => `a IN (SELECT a FROM ${dice.pick(TABLES)} WHERE k < ${dice.below(20)})`],
    [1, () => `EXISTS (SELECT 1 FROM ${dice.pick(TABLES)} y WHERE y.a = ${dice.below(20)})`],
    [1, () => `typeof(c) = '${dice.pick(["text", "blob", "integer", "null"])}'`],
    [1, () => `a % ${2 + dice.below(5)} = 0`],
    [1, () => `(${condition(dice)} OR ${condition(dice)})`],
    [1, () => `(${condition(dice)} AND NOT ${condition(dice)})`],
  ]);
}

export function where(dice: Dice): string {
  return dice.chance(0.9) ? ` WHERE ${condition(dice)}` : "";
}
