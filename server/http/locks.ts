/** Locks by name, fair, within this process: what several servers do to one volume is ordered by conditional creation alone. */
import { Semaphore } from "../../src/base/semaphore.ts";

export class Locks {
  readonly #held = new Map<string, { readonly lock: Semaphore; users: number }>();

  /** Runs `work` while nobody else holds the lock of that name. */
  async run<T>(name: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    let entry = this.#held.get(name);
    if (entry === undefined) {
      entry = { lock: new Semaphore(1, `the writer of ${name}`), users: 0 };
      this.#held.set(name, entry);
    }
    entry.users++;
    try {
      return await entry.lock.run(work, signal);
    } finally {
      if (--entry.users === 0) this.#held.delete(name);
    }
  }
}
