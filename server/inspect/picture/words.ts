/** Figures as people read them, and what the states of pages are called. */
import type { PageState } from "../../../src/inspect/residency.ts";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function countText(count: number): string {
  return whole.format(count);
}

export function msText(ms: number): string {
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms >= 100 ? Math.round(ms) : ms.toFixed(1)} ms`;
}

/** 0.0123 → "1.2 %"; what is there at all is never "0 %". */
export function shareText(part: number, whole: number): string {
  if (whole === 0 || part === 0) return "0 %";
  const percent = (part / whole) * 100;
  if (percent < 0.1) return "< 0.1 %";
  return percent >= 99.95 || percent >= 10 ? `${Math.floor(percent)} %` : `${percent.toFixed(1)} %`;
}

export function pagesText(first: number, last: number): string {
  return first === last ? `page ${countText(first)}` : `pages ${countText(first)} to ${countText(last)}`;
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${countText(count)} ${count === 1 ? one : many}`;
}

/** Local time to the second. */
export function timeText(ms: number): string {
  return new Date(ms).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

/** In the order in which they are listed. */
export const stateWords: readonly {
  readonly state: PageState;
  readonly word: string;
  readonly says: string;
}[] = [
  { state: "hot", word: "hot", says: "read more than once of late" },
  { state: "resident", word: "resident", says: "here, and read" },
  { state: "prefetched", word: "prefetched", says: "here, and not read so far" },
  { state: "dirty", word: "dirty", says: "written here, not pushed" },
  { state: "absent", word: "absent", says: "fetched when it is read" },
  { state: "unwritten", word: "unwritten", says: "reads as zeros, needs no fetch" },
];
