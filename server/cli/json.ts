/**
 * How results become JSON. What JSON cannot say is written as an object with one `$` key: a blob as `{"$blob": "<base64>"}`, an integer
 * beyond 2^53 as `{"$integer": "9223372036854775807"}`, an infinite real as `{"$real": "Infinity"}`.
 */

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
