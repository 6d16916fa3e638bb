/** A progress bar on stderr, for long work that somebody watches: only on a terminal, and only once the work has taken a while. */
import { bytesText } from "../bytes-text.ts";

const showAfterMs = 500;
const redrawEveryMs = 100;

export interface ProgressTarget {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export type ProgressUnit = "bytes" | "pages" | "commits";

export class Progress {
  readonly #target: ProgressTarget;
  readonly #label: string;
  readonly #unit: ProgressUnit;
  readonly #now: () => number;
  readonly #enabled: boolean;
  readonly #startedAt: number;
  #drawnAt: number | undefined;

  constructor(
    label: string,
    unit: ProgressUnit,
    options: { readonly quiet: boolean; readonly target?: ProgressTarget; readonly now?: () => number },
  ) {
    this.#label = label;
    this.#unit = unit;
    this.#target = options.target ?? process.stderr;
    this.#now = options.now ?? (() => performance.now());
    this.#enabled = !options.quiet && this.#target.isTTY === true;
    this.#startedAt = this.#now();
  }

  /** How much is done; `total` is 0 or absent while unknown. An arrow, so that it can be passed as a callback. */
  readonly update = (done: number, total = 0): void => {
    if (!this.#enabled) return;
    const now = this.#now();
    if (
      now - (this.#drawnAt ?? this.#startedAt) <
      (this.#drawnAt === undefined ? showAfterMs : redrawEveryMs)
    )
      return;
    this.#drawnAt = now;
    this.#target.write(`\r\x1b[K${this.line(done, total, now - this.#startedAt)}`);
  };

  /** Wipes the bar; safe to call always. */
  end(): void {
    if (this.#drawnAt !== undefined) this.#target.write("\r\x1b[K");
    this.#drawnAt = undefined;
  }

  line(done: number, total: number, elapsedMs: number): string {
    const amount = (n: number): string => (this.#unit === "bytes" ? bytesText(n) : `${n} ${this.#unit}`);
    const perSecond = elapsedMs > 0 ? (done * 1000) / elapsedMs : 0;
    const rate = `${amount(Math.round(perSecond))}/s`;
    if (total <= 0) return this.#cut(`${this.#label} ${amount(done)}  ${rate}`);
    const share = Math.min(1, done / total);
    const width = 24;
    const filled = Math.round(share * width);
    const bar = `${"█".repeat(filled)}${"░".repeat(width - filled)}`;
    const left = perSecond > 0 ? `  ${Math.ceil((total - done) / perSecond)} s left` : "";
    return this.#cut(
      `${this.#label} ${bar} ${Math.floor(share * 100)} %  ${amount(done)} of ${amount(total)}  ${rate}${left}`,
    );
  }

  #cut(line: string): string {
    return line.slice(0, Math.max(10, (this.#target.columns ?? 80) - 1));
  }
}
