/** Hours, days, weeks and months of UTC, as spans of milliseconds since 1970: what a retention keeps one commit of. */
import type { Period } from "./retention.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const WEEK_MS = 7 * DAY_MS;
/** 1970 began on a Thursday. */
const MONDAY_MS = -3 * DAY_MS;
/** The last year that a Date knows; times of commits are any integer. */
const LAST_DATE_MS = 8.64e15 - 31 * DAY_MS;

export interface Bucket {
  /** Inclusive. */
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
}

/** The hour, day, week or month that a time lies in. */
export function bucketOf(period: Period, time: number): Bucket {
  switch (period) {
    case "hourly":
      return aligned(time, HOUR_MS, 0);
    case "daily":
      return aligned(time, DAY_MS, 0);
    case "weekly":
      return aligned(time, WEEK_MS, MONDAY_MS);
    case "monthly":
      return monthOf(time);
  }
}

function aligned(time: number, length: number, origin: number): Bucket {
  const start = Math.floor((time - origin) / length) * length + origin;
  return { start, end: start + length };
}

function monthOf(time: number): Bucket {
  if (time > LAST_DATE_MS) return aligned(time, 30 * DAY_MS, 0);
  const date = new Date(time);
  const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()];
  return { start: Date.UTC(year, month), end: Date.UTC(year, month + 1) };
}
