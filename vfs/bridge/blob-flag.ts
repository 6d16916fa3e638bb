/**
 * A flag that a page raises and its worker reads in the middle of computing, where memory cannot be shared and a busy thread hears no message:
 * the address of a Blob, which a synchronous request reaches until the page has revoked it. Browsers only.
 */
import { systemRuntime } from "../../src/base/runtime.ts";
import type { SyncRequest } from "./sync-xhr.ts";

/** A request costs a millisecond or more. */
const ASKED_EVERY_MS = 100;
const OK = 200;

/** The page's side. */
export class BlobFlag {
  readonly url: string = URL.createObjectURL(new Blob(["1"]));

  /** Also to be called when nobody reads the flag any more: it holds memory until then. Idempotent. */
  raise(): void {
    URL.revokeObjectURL(this.url);
  }
}

/** The worker's side. */
export class BlobFlagReader {
  readonly #url: string;
  #askedAt = systemRuntime.monotonic();
  #raised = false;

  constructor(url: string) {
    this.#url = url;
  }

  /** Whether a flag that was not raised can be read: not under a policy that forbids requests to `blob:`. */
  get works(): boolean {
    return isReachable(this.#url);
  }

  /** As of the last time that the page was asked, a moment ago at most. What is quick never asks. */
  get raised(): boolean {
    if (this.#raised || systemRuntime.monotonic() - this.#askedAt < ASKED_EVERY_MS) return this.#raised;
    this.#raised = !isReachable(this.#url);
    this.#askedAt = systemRuntime.monotonic();
    return this.#raised;
  }
}

function isReachable(url: string): boolean {
  const { XMLHttpRequest } = globalThis as unknown as { readonly XMLHttpRequest: new () => SyncRequest };
  try {
    const request = new XMLHttpRequest();
    request.open("GET", url, false);
    request.send();
    return request.status === OK;
  } catch {
    // The only way in which a synchronous request says that there is nothing at its address.
    return false;
  }
}
