/**
 * What the last query had to wait for: its faults and the requests that went to the store meanwhile, on one clock, as data for a waterfall. Bounded:
 * of a query with more than `capacity` of either the first ones are kept, and the totals count all.
 */
import type { RequestEvent } from "./request-log.ts";

/** As a volume or a database reports it. */
export interface FaultReport {
  readonly firstPage: number;
  readonly lastPage: number;
  readonly pages: number;
  readonly readAheadPages: number;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly durationMs: number;
  readonly failed: boolean;
}

export interface FaultFigures {
  /** Milliseconds after the query began. */
  readonly startMs: number;
  readonly durationMs: number;
  readonly firstPage: number;
  readonly lastPage: number;
  /** Pages that were asked for, and those fetched with them because they are likely to be next. */
  readonly pages: number;
  readonly prefetchedPages: number;
  readonly failed: boolean;
}

export interface RequestFigures {
  readonly startMs: number;
  readonly durationMs: number;
  readonly operation: RequestEvent["operation"];
  /** What kind of object: "segments", "commits", "manifest", "head", "tags", "bundle" … */
  readonly kind: string;
  readonly key: string;
  /** Bytes of the body, either way; 0 where there was none. */
  readonly bytes: number;
  /** Where the range began; null for a whole object. */
  readonly offset: number | null;
  readonly failed: boolean;
}

export interface QueryFigures {
  /** What was run. */
  readonly label: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** null while it runs. */
  readonly durationMs: number | null;
  readonly faults: readonly FaultFigures[];
  readonly requests: readonly RequestFigures[];
  readonly totals: {
    readonly faults: number;
    readonly faultMs: number;
    readonly pages: number;
    readonly prefetchedPages: number;
    readonly requests: number;
    readonly bytes: number;
  };
}

export interface FaultLogOptions {
  /** How many faults and how many requests are kept of a query; default 512. */
  readonly capacity?: number;
  /** Monotonic milliseconds; the clock that requests are observed on. */
  readonly monotonic: () => number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

const DEFAULT_CAPACITY = 512;
const noTotals = { faults: 0, faultMs: 0, pages: 0, prefetchedPages: 0, requests: 0, bytes: 0 };

export class FaultLog {
  readonly #options: FaultLogOptions;
  readonly #capacity: number;
  #label = "";
  #startedAt = 0;
  #start = 0;
  #durationMs: number | null = null;
  #isOpen = false;
  #faults: FaultFigures[] = [];
  #requests: RequestFigures[] = [];
  #totals: { -readonly [K in keyof QueryFigures["totals"]]: number } = { ...noTotals };

  constructor(options: FaultLogOptions) {
    this.#options = options;
    this.#capacity = options.capacity ?? DEFAULT_CAPACITY;
  }

  /** A query begins: what was kept of the last one is forgotten. */
  begin(label: string): void {
    this.#label = label;
    this.#startedAt = this.#options.now();
    this.#start = this.#options.monotonic();
    this.#durationMs = null;
    this.#isOpen = true;
    this.#faults = [];
    this.#requests = [];
    this.#totals = { ...noTotals };
  }

  /** The query is over. What a request of it that is still under way does later is not counted. */
  end(): void {
    if (!this.#isOpen) return;
    this.#durationMs = this.#options.monotonic() - this.#start;
    this.#isOpen = false;
  }

  /** A fault that is over now. */
  readonly fault = (report: FaultReport): void => {
    if (!this.#isOpen) return;
    const { firstPage, lastPage, pages, readAheadPages: prefetchedPages } = report;
    const { startedAt, durationMs, failed } = report;
    this.#totals.faults++;
    this.#totals.faultMs += durationMs;
    this.#totals.pages += pages;
    this.#totals.prefetchedPages += prefetchedPages;
    // Told when it is over, perhaps late and by another thread: the wall clock is the same there, but coarse.
    const latest = this.#options.monotonic() - this.#start - durationMs;
    const startMs = Math.max(0, Math.min(latest, startedAt - this.#startedAt));
    if (this.#faults.length < this.#capacity)
      this.#faults.push({ startMs, durationMs, firstPage, lastPage, pages, prefetchedPages, failed });
  };

  /** A request that is over now. */
  readonly request = ({ start, durationMs, operation, key, bytes, offset, failed }: RequestEvent): void => {
    // One that an earlier query began is none of this one's.
    if (!this.#isOpen || start < this.#start) return;
    this.#totals.requests++;
    this.#totals.bytes += bytes;
    if (this.#requests.length >= this.#capacity) return;
    const startMs = start - this.#start;
    const kind = operation === "bundle" ? operation : kindOf(key);
    this.#requests.push({ startMs, durationMs, operation, kind, key, bytes, offset, failed });
  };

  /** The last query, or the one that runs; undefined before the first. */
  figures(): QueryFigures | undefined {
    if (this.#startedAt === 0) return undefined;
    return {
      label: this.#label,
      startedAt: this.#startedAt,
      durationMs: this.#durationMs,
      faults: [...this.#faults],
      requests: [...this.#requests].sort((a, b) => a.startMs - b.startMs),
      totals: { ...this.#totals },
    };
  }
}

/** "volumes/<volume>/segments/…" → "segments"; "tags/<name>/…" → "tags". */
function kindOf(key: string): string {
  const parts = key.split("/");
  return (parts[0] === "volumes" ? parts[2] : parts[0]) ?? "";
}
