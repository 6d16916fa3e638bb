/** One owner per storage, among all tabs and workers of a site, by Web Locks. A lock ends with its tab or worker, however that ends. */
import { PagefoldError } from "../base/errors.ts";
import { systemRuntime } from "../base/runtime.ts";
import { domNameOf } from "./dom-errors.ts";

export interface StorageLock {
  /** Resolves when others can have it. Idempotent. */
  release(): Promise<void>;
}

const NO_LOCK: StorageLock = { release: async () => {} };

/**
 * Becomes the owner of a storage. Where there are no Web Locks (outside of secure contexts, in old browsers) everybody does: there the files
 * themselves must exclude others, which OPFS handles do.
 * @param waitMs how long an owner that may just be ending is waited for
 * @throws `busy`
 */
export async function lockStorage(name: string, waitMs: number): Promise<StorageLock> {
  const locks = (globalThis.navigator as Partial<Navigator> | undefined)?.locks;
  if (locks === undefined) return NO_LOCK;
  try {
    // First without a clock, which on a busy machine would run out before a free lock is granted.
    const lock =
      (await request(locks, name, { ifAvailable: true })) ?? (await requestFor(locks, name, waitMs));
    if (lock !== undefined) return lock;
  } catch (e) {
    // A frame without an origin of its own has neither locks nor storage.
    if (domNameOf(e) === "SecurityError") return NO_LOCK;
    throw e;
  }
  throw new PagefoldError(
    "busy",
    `the storage "${name}" is open in another tab or worker of this site; close it there, send SQL to the tab that has it, or use another name`,
    { details: { path: name } },
  );
}

async function requestFor(
  locks: LockManager,
  name: string,
  waitMs: number,
): Promise<StorageLock | undefined> {
  if (waitMs <= 0) return undefined;
  const patience = new AbortController();
  const granted = new AbortController();
  systemRuntime.sleep(waitMs, granted.signal).then(
    () => patience.abort(),
    () => {},
  );
  try {
    return await request(locks, name, { signal: patience.signal });
  } catch (e) {
    if (patience.signal.aborted) return undefined;
    throw e;
  } finally {
    granted.abort();
  }
}

/** The lock once it is held; undefined where it is not available. */
function request(locks: LockManager, name: string, options: LockOptions): Promise<StorageLock | undefined> {
  return new Promise((resolve, reject) => {
    const whileHeld = (lock: Lock | null): Promise<void> | undefined => {
      if (lock === null) return void resolve(undefined);
      return new Promise<void>((end) => {
        resolve({
          release: async () => {
            end();
            await held;
          },
        });
      });
    };
    const held = locks.request(`pagefold-storage-${name}`, options, whileHeld);
    held.catch(reject);
  });
}
