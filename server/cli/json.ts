/**
 * How results become JSON, and SQL values come from it. What JSON cannot say is written as an object with one `$` key: a blob as
 * `{"$blob": "<base64>"}`, an integer beyond 2^53 as `{"$integer": "9223372036854775807"}`, an infinite real as `{"$real": "Infinity"}`.
 */
import type { SqlValue } from "../../vfs/index.ts";

/** A 128-bit state checksum as 32 hexadecimal digits. */
export function checksumText(checksum: bigint): string {
  return checksum.toString(16).padStart(32, "0");
}

/** A value that JSON.stringify renders without loss and without throwing. */
export function toJson(value: unknown): unknown {
  if (typeof value === "bigint") {
    const isSafe = value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER;
    return isSafe ? Number(value) : { $integer: value.toString() };
  }
  if (typeof value === "number") return Number.isFinite(value) ? value : { $real: String(value) };
  if (value instanceof Uint8Array)
    return { $blob: Buffer.from(value.buffer, value.byteOffset, value.length).toString("base64") };
  if (value instanceof ArrayBuffer) return toJson(new Uint8Array(value));
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Error) return { name: value.name, message: value.message };
  if (Array.isArray(value)) return value.map(toJson);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, toJson(member)]));
  }
  return value;
}

/** The SQL value that JSON text stands for, booleans as 1 and 0; undefined for what is no JSON, or stands for none. */
export function fromJson(text: string): SqlValue | undefined {
  // Parsed as a number it would lose its last digits.
  if (/^\s*-?(0|[1-9][0-9]*)\s*$/.test(text)) return integer(text.trim());
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (value === null || typeof value === "string" || typeof value === "number") return value;
  if (typeof value === "boolean") return value ? 1 : 0;
  const [[key, inner] = [], more] = Object.entries(value as object);
  if (more !== undefined || Array.isArray(value) || typeof inner !== "string") return undefined;
  switch (key) {
    case "$blob": {
      const bytes = Buffer.from(inner, "base64");
      return bytes.toString("base64") === inner ? new Uint8Array(bytes) : undefined;
    }
    case "$integer":
      return /^-?[0-9]+$/.test(inner) ? integer(inner) : undefined;
    case "$real":
      return /^-?Infinity$/.test(inner) ? Number(inner) : undefined;
    default:
      return undefined;
  }
}

function integer(digits: string): number | bigint | undefined {
  const value = BigInt(digits);
  if (BigInt.asIntN(64, value) !== value) return undefined;
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}
