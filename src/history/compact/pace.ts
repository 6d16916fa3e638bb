/** Keeps long work to so many bytes per second, so that it leaves room for those who wait for their pages. */
import type { Runtime } from "../../base/runtime.ts";

export class Pace {
  readonly #runtime: Runtime;
  readonly #bytesPerSecond: number;
  readonly #signal: AbortSignal | undefined;
  readonly #startedAt: number;
  #spent = 0;

  /** @param bytesPerSecond undefined: as fast as it goes */
  constructor(runtime: Runtime, bytesPerSecond: number | undefined, signal: AbortSignal | undefined) {
    this.#runtime = runtime;
    this.#bytesPerSecond = bytesPerSecond ?? Number.POSITIVE_INFINITY;
    this.#signal = signal;
    this.#startedAt = runtime.monotonic();
  }

  /** Resolves when so many more bytes are due. */
  async spend(bytes: number): Promise<void> {
    this.#spent += bytes;
    const dueMs = (this.#spent / this.#bytesPerSecond) * 1000;
    const ms = dueMs - (this.#runtime.monotonic() - this.#startedAt);
    if (ms > 0) await this.#runtime.sleep(ms, this.#signal);
  }
}
