/** Beats, and the ends of rights: one loop for all streams of events, however many there are, and only while there are any. */
import type { Runtime } from "../../../src/base/runtime.ts";
import type { EventStream } from "./event-stream.ts";

export class Keeper {
  readonly #runtime: Runtime;
  readonly #beatMs: number;
  readonly #streams: ReadonlySet<EventStream>;
  readonly #expire: (stream: EventStream) => void;
  #sleep = new AbortController();
  #running = false;
  #wakeAt = 0;
  #closed = false;

  /** @param expire ends a stream whose rights are over */
  constructor(
    runtime: Runtime,
    beatMs: number,
    streams: ReadonlySet<EventStream>,
    expire: (stream: EventStream) => void,
  ) {
    this.#runtime = runtime;
    this.#beatMs = beatMs;
    this.#streams = streams;
    this.#expire = expire;
  }

  /** There is a new stream, whose rights end then. */
  keep(expiresAt: number | undefined): void {
    if (this.#running) {
      if (expiresAt !== undefined && expiresAt < this.#wakeAt) this.#sleep.abort();
      return;
    }
    this.#running = true;
    void this.#run();
  }

  close(): void {
    this.#closed = true;
    this.#sleep.abort();
  }

  async #run(): Promise<void> {
    let beatAt = this.#runtime.now() + this.#beatMs;
    while (!this.#closed && this.#streams.size > 0) {
      this.#wakeAt = beatAt;
      for (const { principal } of this.#streams) {
        if (principal.expiresAt !== undefined) this.#wakeAt = Math.min(this.#wakeAt, principal.expiresAt);
      }
      this.#sleep = new AbortController();
      const ms = Math.max(0, this.#wakeAt - this.#runtime.now());
      // Woken early, it looks again.
      await this.#runtime.sleep(ms, this.#sleep.signal).catch(() => {});
      const now = this.#runtime.now();
      const isBeat = now >= beatAt;
      if (isBeat) beatAt = now + this.#beatMs;
      for (const stream of [...this.#streams]) {
        const { expiresAt } = stream.principal;
        if (expiresAt !== undefined && expiresAt <= now) this.#expire(stream);
        else if (isBeat) stream.beat();
      }
    }
    // At once: a stream that opens next must find that nobody keeps it.
    this.#running = false;
  }
}
