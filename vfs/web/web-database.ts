/** A database as a page has it: `Database`, and what concerns this site's storage. */
import { isPagefoldError } from "../../src/base/errors.ts";
import { systemRuntime } from "../../src/base/runtime.ts";
import type { Connected } from "../connect.ts";
import { Database, type DatabaseStatus } from "../database.ts";
import { persistStorage } from "./site-storage.ts";

/** After a failure to follow the remote log, milliseconds. */
const FOLLOW_AGAIN_MS = 5000;

export class WebDatabase extends Database {
  readonly #closing = new AbortController();

  /** @internal Made by `openDatabase`. */
  constructor(connected: Connected, options: { readonly live: boolean }) {
    super(connected);
    if (options.live) void this.#keepFollowing(this.#closing.signal);
  }

  /**
   * Asks the browser not to evict this site's storage by itself; browsers decide by their own rules, or ask the user. Answers whether it is
   * persistent now.
   */
  async persistStorage(): Promise<boolean> {
    return persistStorage();
  }

  /** With `tab`: whether this tab has the local state open, another one runs SQL for it, or it shares none. */
  override async status(): Promise<DatabaseStatus> {
    return { tab: "single", ...(await super.status()) };
  }

  override close(): Promise<void> {
    this.#closing.abort();
    return super.close();
  }

  /** The database moves on as the remote log grows, for as long as it is open. */
  async #keepFollowing(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        for await (const _ of this.follow({ signal }));
      } catch (error) {
        // Offline, or local commits are in the way: `status` says so.
        if (!isPagefoldError(error)) throw error;
        if (isPagefoldError(error, "closed", "invalid", "unauthorized", "forbidden")) return;
      }
      await systemRuntime.sleep(FOLLOW_AGAIN_MS, signal).catch(() => {});
    }
  }
}
