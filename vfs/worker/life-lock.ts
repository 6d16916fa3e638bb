/**
 * How a page learns that its worker is gone. A browser tells nobody when a worker ends by itself or is ended for its memory, but it does
 * release the locks that the worker held: so the worker holds one for life, and the page waits for it. Browsers only; where there are no Web Locks
 * (outside of secure contexts) nobody learns.
 */
import { systemRuntime } from "../../src/base/runtime.ts";
import { toHex } from "../../src/format/bytes.ts";

const locks = (): LockManager | undefined =>
  (globalThis as { readonly navigator?: Partial<Navigator> }).navigator?.locks;

/** The worker's side. @param onHeld called with the lock's name once the page may wait for it */
export function holdLifeLock(onHeld: (name: string) => void): void {
  // All tabs of the origin see it.
  const name = `pagefold-sql-${toHex(systemRuntime.randomBytes(new Uint8Array(16)))}`;
  const held = locks()?.request(name, () => {
    onHeld(name);
    return new Promise(() => {});
  });
  // Refused, to a frame without an origin of its own say: then there is none to wait for.
  held?.catch(() => {});
}

/** The page's side, to be called once the lock is held. @param onFree called when the worker is gone, however it went */
export function awaitLifeLock(name: string, onFree: () => void): void {
  locks()
    ?.request(name, onFree)
    .catch(() => {});
}
