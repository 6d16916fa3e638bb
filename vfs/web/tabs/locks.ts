/**
 * Web Locks as tabs use them: to lead is to hold the lock of a storage, and every tab holds a lock of its own for as long as it takes part, since a
 * browser tells nobody that a tab is gone but releases its locks.
 */
import { systemRuntime } from "../../../src/base/runtime.ts";
import { toHex } from "../../../src/format/bytes.ts";

export interface HeldLock {
  /** Idempotent. */
  release(): void;
}

function manager(): LockManager {
  return (globalThis as { readonly navigator: Navigator }).navigator.locks;
}

/** Whether tabs can find one another here: not outside of secure contexts, nor in a frame without an origin. */
export async function tabsCanMeet(): Promise<boolean> {
  const { navigator, BroadcastChannel } = globalThis as {
    readonly navigator?: Partial<Navigator>;
    readonly BroadcastChannel?: unknown;
  };
  if (navigator?.locks === undefined || BroadcastChannel === undefined) return false;
  try {
    await navigator.locks.query();
    return true;
  } catch {
    return false;
  }
}

/** An unguessable name for this tab's part in a storage. */
export function newTabId(): string {
  return toHex(systemRuntime.randomBytes(new Uint8Array(12)));
}

/** Waits for a lock. @throws an AbortError when the signal fires first */
export function acquireLock(name: string, signal?: AbortSignal): Promise<HeldLock> {
  return new Promise((resolve, reject) => {
    const whileHeld = () => new Promise<void>((release) => resolve({ release }));
    manager()
      .request(name, signal === undefined ? {} : { signal }, whileHeld)
      .catch(reject);
  });
}

/** Calls when nobody holds that lock any more. Answers how to stop waiting. */
export function whenFree(name: string, onFree: () => void): () => void {
  const controller = new AbortController();
  // Shared: several tabs wait for the same one to go.
  manager()
    .request(name, { mode: "shared", signal: controller.signal }, () => {
      if (!controller.signal.aborted) onFree();
    })
    .catch(() => {
      // Nobody waits any more.
    });
  return () => controller.abort();
}
