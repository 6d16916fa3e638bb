/** Alive, and ready: whether the store answers (asked at most once a second, however often it is asked for) and the server is not going down. */
import { PagefoldError } from "../../../src/base/errors.ts";
import type { Runtime } from "../../../src/base/runtime.ts";
import { tagsPrefix } from "../../../src/format/keys.ts";
import type { ObjectStore } from "../../../src/remote/object-store.ts";

const LIFE_MS = 1000;
const PATIENCE_MS = 5000;

export class Readiness {
  readonly #store: ObjectStore;
  readonly #runtime: Pick<Runtime, "monotonic">;
  #last: { readonly at: number; readonly failure: Promise<unknown> } | undefined;
  #leaving = false;

  constructor(store: ObjectStore, runtime: Pick<Runtime, "monotonic">) {
    this.#store = store;
    this.#runtime = runtime;
  }

  /** From now on the server is not ready: whoever balances load sends nothing more. */
  leave(): void {
    this.#leaving = true;
  }

  get leaving(): boolean {
    return this.#leaving;
  }

  /** Undefined where the server is ready, else why it is not. */
  async problem(): Promise<unknown> {
    if (this.#leaving) {
      return new PagefoldError("unavailable", "this server is going down; ask another, or try again later");
    }
    const now = this.#runtime.monotonic();
    if (this.#last === undefined || now - this.#last.at >= LIFE_MS) {
      this.#last = { at: now, failure: this.#ask() };
    }
    return this.#last.failure;
  }

  async #ask(): Promise<unknown> {
    try {
      // What every look-up of a tag begins with, and cheap on every backend.
      await this.#store.list(tagsPrefix(), { limit: 1, signal: AbortSignal.timeout(PATIENCE_MS) });
      return undefined;
    } catch (error) {
      return new PagefoldError("unavailable", "the store does not answer; see the log of the server", {
        cause: error,
      });
    }
  }
}
