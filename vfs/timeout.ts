/** A signal that fires after a time, unless it is cancelled: unlike `AbortSignal.timeout` it leaves no timer behind. */
import { systemRuntime } from "../src/base/runtime.ts";

export function timeout(ms: number): { readonly signal: AbortSignal; cancel(): void } {
  const fired = new AbortController();
  const timer = new AbortController();
  systemRuntime.sleep(ms, timer.signal).then(
    () => fired.abort(),
    () => {},
  );
  return { signal: fired.signal, cancel: () => timer.abort() };
}
