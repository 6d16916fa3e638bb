/** Spans of time as people write them: "90m", "24h", "7d", "4w", or a number of milliseconds. */
import { PagefoldError } from "../../base/errors.ts";

const UNITS_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
  y: 365 * 86_400_000,
};

/** Milliseconds. @throws `invalid`, naming `what` and how to write it */
export function parseDuration(value: unknown, what: string): number {
  const { amount, unit = "ms" } =
    /^(?<amount>[0-9]+)(?<unit>ms|[smhdwy])?$/.exec(typeof value === "number" ? String(value) : text(value))
      ?.groups ?? {};
  const ms = Number(amount ?? Number.NaN) * UNITS_MS[unit]!;
  if (Number.isSafeInteger(ms)) return ms;
  throw new PagefoldError(
    "invalid",
    `${what} of ${JSON.stringify(value)?.slice(0, 80)} is no span of time; write a whole number and a unit, such as "90m", "24h", "7d" or "4w", or give milliseconds`,
  );
}

function text(value: unknown): string {
  return typeof value === "string" ? value.trim() : "";
}
