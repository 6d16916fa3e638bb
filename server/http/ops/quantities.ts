/** How sizes and durations are written in options and configuration: `256MiB`, `64k`, `1h`, `1500ms`. Units of bytes are powers of 1024. */
import { PagefoldError } from "../../../src/base/errors.ts";

const BYTE_UNITS: Readonly<Record<string, number>> = {
  "": 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
};
const MS_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** `0`, `4096`, `64k`, `256MB`, `1.5GiB` → bytes. @throws `invalid` */
export function parseByteSize(text: string): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?) ?(?:([kmgt])(?:i?b)?|b)?$/i.exec(text.trim()) ?? [];
  const bytes = Math.round(Number(digits) * (BYTE_UNITS[unit?.toLowerCase() ?? ""] ?? Number.NaN));
  if (Number.isSafeInteger(bytes)) return bytes;
  throw new PagefoldError(
    "invalid",
    `"${text}" is no size; write bytes, or a number with k, M, G or T, e.g. 256M`,
  );
}

/** `90s`, `15m`, `1h`, `7d`, `1500ms`; digits alone are `unit`s. → milliseconds. @throws `invalid` */
export function parseDuration(text: string, unit: "ms" | "s"): number {
  const [, digits, suffix] = /^(\d+(?:\.\d+)?) ?(ms|s|m|h|d)?$/i.exec(text.trim()) ?? [];
  const ms = Math.round(Number(digits) * (MS_UNITS[suffix?.toLowerCase() ?? unit] ?? Number.NaN));
  if (Number.isSafeInteger(ms)) return ms;
  throw new PagefoldError("invalid", `"${text}" is no duration; write for example 500ms, 90s, 15m, 1h or 7d`);
}
