/** A tab's place in the line of those that want to lead. */
import { acquireLock, type HeldLock } from "./locks.ts";

export class Candidacy implements HeldLock {
  readonly granted: Promise<void>;
  readonly #withdrawn = new AbortController();
  #lock: HeldLock | undefined;

  /** @param name of the lock that makes the leader */
  constructor(name: string) {
    this.granted = new Promise((resolve) => {
      acquireLock(name, this.#withdrawn.signal).then(
        (lock) => {
          if (this.#withdrawn.signal.aborted) return lock.release();
          this.#lock = lock;
          resolve();
        },
        // Withdrawn: it is never granted.
        () => {},
      );
    });
  }

  /** While this tab is to lead. */
  get lock(): HeldLock | undefined {
    return this.#lock;
  }

  withdraw(): void {
    this.#withdrawn.abort();
    this.release();
  }

  release(): void {
    this.#lock?.release();
  }
}
