/**
 * Generic read-ahead: recognises a few readers that move forward through a volume and widens what each fault fetches, doubling
 * with every confirmation; a random access fetches nothing more than its frame. Knows pages, not what is in them.
 */

/** A policy that says what else to fetch when pages first … last are missing. */
export interface PrefetchPolicy {
  /** The last page to fetch up to, at most `roomPages` beyond `last`; `last` itself when nothing more is worth it. Called once per fault. */
  extend(first: number, last: number, roomPages?: number): number;
}

export interface ReadAheadSettings {
  /** Readers told apart; default 8. */
  readonly heads: number;
  /** A fault within so many pages (or a window, if that is wider) after the last one continues it; default 64. */
  readonly slackPages: number;
  /** First and largest window, in pages; default 32 and 1024. */
  readonly minPages: number;
  readonly maxPages: number;
}

export const defaultReadAheadSettings: ReadAheadSettings = {
  heads: 8,
  slackPages: 64,
  minPages: 32,
  maxPages: 1024,
};

interface Head {
  /** The page after the last one that a fault of this reader covered. */
  next: number;
  window: number;
}

export class ReadAhead implements PrefetchPolicy {
  readonly #settings: ReadAheadSettings;
  /** The one used last comes first. */
  readonly #heads: Head[] = [];

  constructor(settings: ReadAheadSettings = defaultReadAheadSettings) {
    this.#settings = settings;
  }

  extend(first: number, last: number, roomPages = Number.POSITIVE_INFINITY): number {
    const { heads, slackPages, minPages, maxPages } = this.#settings;
    // The wider a reader's window has grown, the larger a stretch of resident pages it may have read through unseen.
    const i = this.#heads.findIndex(
      (head) => first >= head.next && first < head.next + Math.max(slackPages, head.window),
    );
    if (i === -1) {
      this.#heads.unshift({ next: last + 1, window: 0 });
      this.#heads.length = Math.min(this.#heads.length, heads);
      return last;
    }
    const [head] = this.#heads.splice(i, 1) as [Head];
    head.window = Math.min(maxPages, roomPages, Math.max(minPages, head.window * 2));
    head.next = last + head.window + 1;
    this.#heads.unshift(head);
    return last + head.window;
  }
}

/** Fetches only what is asked for. */
export const noReadAhead: PrefetchPolicy = { extend: (_first, last) => last };
