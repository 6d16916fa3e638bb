/**
 * Notices that the other side has stopped to answer although it is there: a tab that the browser froze. Counts rounds of asking rather than time, so
 * that a tab which was itself asleep asks again before it complains.
 */
import { systemRuntime } from "../../../src/base/runtime.ts";

/** How often it is asked while an answer is due, milliseconds. */
const ROUND_MS = 1000;
/** Rounds without a word after which it counts as silent. */
export const ROUNDS_MAX = 15;

export class SilenceWatch {
  readonly #ask: () => void;
  readonly #onSilence: () => void;
  #running: AbortController | undefined;
  #rounds = 0;

  constructor(ask: () => void, onSilence: () => void) {
    this.#ask = ask;
    this.#onSilence = onSilence;
  }

  /** From now on answers are due. */
  start(): void {
    if (this.#running !== undefined) return;
    this.#running = new AbortController();
    this.#rounds = 0;
    void this.#run(this.#running.signal);
  }

  /** Nothing is due. */
  stop(): void {
    this.#running?.abort();
    this.#running = undefined;
  }

  /** The other side has said something. */
  heard(): void {
    this.#rounds = 0;
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await systemRuntime.sleep(ROUND_MS, signal).catch(() => {});
      if (signal.aborted) return;
      if (this.#rounds++ >= ROUNDS_MAX) {
        this.#rounds = 0;
        this.#onSilence();
      } else this.#ask();
    }
  }
}
