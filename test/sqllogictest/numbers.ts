/**
 * How SQLite turns a value into an integer, a real and text where a caller asks for one type and the column holds another: the
 * rules behind sqlite3_column_int, sqlite3_column_double and its printf. Compared with the real functions in format.test.ts.
 */

/** What a column of a result holds. */
export type SqlValue = null | number | bigint | string | Uint8Array;

const INTEGER_PREFIX = /^[ \t\n\v\f\r]*([+-]?\d+)/;
const REAL_PREFIX = /^[ \t\n\v\f\r]*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)/;
const MAX_INT64 = 2n ** 63n - 1n;
const MIN_INT64 = -(2n ** 63n);

/** As sqlite3_column_int: a 64-bit integer, of which the low 32 bits are kept. */
export function toInt32(value: Exclude<SqlValue, null>): number {
  return Number(BigInt.asIntN(32, toInt64(value)));
}

function toInt64(value: Exclude<SqlValue, null>): bigint {
  if (typeof value === "bigint") return value;
  if (typeof value === "number") {
    if (value >= 2 ** 63) return MAX_INT64;
    if (value <= -(2 ** 63)) return MIN_INT64;
    return BigInt(Math.trunc(value));
  }
  const digits = BigInt(INTEGER_PREFIX.exec(asText(value))?.[1]?.replace("+", "") ?? "0");
  if (digits > MAX_INT64) return MAX_INT64;
  return digits < MIN_INT64 ? MIN_INT64 : digits;
}

/** As sqlite3_column_double. */
export function toReal(value: Exclude<SqlValue, null>): number {
  if (typeof value === "number") return value;
  if (typeof value === "bigint") return Number(value);
  return Number(REAL_PREFIX.exec(asText(value))?.[1] ?? "0");
}

/** Bytes that are no ASCII end a number in any case, so that one character for each byte is enough. */
function asText(value: string | Uint8Array): string {
  return typeof value === "string" ? value : Buffer.from(value).toString("latin1");
}

/**
 * As SQLite's printf("%.3f"): rounded half up, and of its first 16 digits only; the digits after those are zeros. From 1e17 on SQLite's
 * own arithmetic is not exact, and the last of the 16 may be another.
 */
export function threeDecimals(value: number): string {
  if (!Number.isFinite(value)) return value > 0 ? "Inf" : "-Inf";
  if (value === 0) return "0.000";
  const sign = value < 0 ? "-" : "";
  if (Math.abs(value) < 1e-9) return `${sign}0.000`;
  const { digits, exponent } = decimal(Math.abs(value));
  const kept = Math.min(16, exponent + 4);
  const rounded = kept < 0 ? 0n : roundedTo(kept, digits);
  const thousandths = rounded * 10n ** BigInt(exponent + 4 - kept);
  const text = thousandths.toString().padStart(4, "0");
  return `${sign}${text.slice(0, -3)}.${text.slice(-3)}`;
}

/**
 * A REAL as text: 17 digits, or fewer where those seem to be what was meant. Below 0.001 and from 1e17 on SQLite now and then shows 17
 * digits where fewer would do.
 */
export function realText(value: number): string {
  if (!Number.isFinite(value)) return value > 0 ? "Inf" : "-Inf";
  if (value === 0) return "0.0";
  const sign = value < 0 ? "-" : "";
  const { digits, exponent } = meant(Math.abs(value));
  if (exponent < -4 || exponent > 16) {
    const power = `${exponent < 0 ? "-" : "+"}${`${Math.abs(exponent)}`.padStart(2, "0")}`;
    return `${sign}${digits[0]}.${digits.slice(1) || "0"}e${power}`;
  }
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${digits}`;
  const padded = digits.padEnd(exponent + 1, "0");
  return `${sign}${padded.slice(0, exponent + 1)}.${padded.slice(exponent + 1) || "0"}`;
}

/** The significant digits that SQLite shows of a positive number: it tries fewer only where the 17 end in nines or in zeros. */
function meant(value: number): { readonly digits: string; readonly exponent: number } {
  const { digits, exponent } = decimal(value);
  const rounded = roundedTo(17, digits).toString();
  const all = rounded.slice(0, 17);
  const few = value.toExponential(14);
  const seemsShort = /^.{14}99|^.{13}000/.test(all) && Number(few) === value;
  return {
    digits: (seemsShort ? mantissaDigits(few) : all).replace(/0+$/, ""),
    exponent: seemsShort ? Number(few.split("e")[1]) : exponent + rounded.length - 17,
  };
}

/**
 * A positive number in decimal, as SQLite works it out before it rounds: to 18 significant digits, or to 19 where the number has passed
 * a power of ten that the power of two below it has not. Rounding twice shows in a last digit now and then.
 */
function decimal(value: number): { readonly digits: string; readonly exponent: number } {
  const exponent = exponentOf(value);
  const count = 18 + exponent - exponentOf(2 ** binaryExponent(value));
  const text = value.toExponential(count - 1);
  return { digits: mantissaDigits(text), exponent: Number(text.split("e")[1]) };
}

function exponentOf(value: number): number {
  return Number(value.toExponential().split("e")[1]);
}

function binaryExponent(value: number): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return ((view.getUint32(0) >>> 20) & 0x7ff) - 1023;
}

function mantissaDigits(exponential: string): string {
  return (exponential.split("e")[0] ?? "").replace(".", "");
}

/** The first `count` digits, rounded half up: one digit more than `count` where that carries over. */
function roundedTo(count: number, digits: string): bigint {
  const dropped = 10n ** BigInt(digits.length - count);
  return (BigInt(digits) + dropped / 2n) / dropped;
}
