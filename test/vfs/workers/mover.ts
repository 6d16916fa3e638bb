/** A thread that moves bytes for the shared-memory bridge, over a memory store whose keys say how each object behaves. */
import { parentPort } from "node:worker_threads";
import { PagefoldError } from "../../../src/base/errors.ts";
import { MemoryObjectStore } from "../../../src/remote/memory-store.ts";
import type { GetOptions, ObjectStore } from "../../../src/remote/object-store.ts";
import { Bell } from "../../../vfs/bridge/bell.ts";
import { serveRanges } from "../../../vfs/bridge/serve-ranges.ts";

export interface MoverSetup {
  readonly port: MessagePort;
  readonly bell: SharedArrayBuffer;
  readonly concurrency: number;
  /** Words: requests under way, most of them at a time, aborted ones. */
  readonly counts: SharedArrayBuffer;
}

const [UNDER_WAY, MOST, ABORTED] = [0, 1, 2];

parentPort?.once("message", ({ port, bell, concurrency, counts: shared }: MoverSetup) => {
  const counts = new Int32Array(shared);
  const memory = new MemoryObjectStore();
  const get = async (key: string, options: GetOptions = {}): Promise<Uint8Array | undefined> => {
    const now = Atomics.add(counts, UNDER_WAY, 1) + 1;
    if (now > Atomics.load(counts, MOST)) Atomics.store(counts, MOST, now);
    try {
      await new Promise((resolve) => setTimeout(resolve, 2));
      if (key === "fails") {
        throw new PagefoldError("unauthorized", "who are you", { details: { key }, cause: new Error("401") });
      }
      if (key === "long-error") throw new PagefoldError("unavailable", "x".repeat(100_000));
      if (key === "bug") throw new TypeError("a bug of the store");
      if (key === "whole") return new Uint8Array(1000);
      if (key === "dies") process.exit(1);
      if (key === "never") await forever(options.signal, counts);
      return memory.get(key, options);
    } finally {
      Atomics.sub(counts, UNDER_WAY, 1);
    }
  };
  const bytes = new Uint8Array(1_000_000).map((_, i) => (i * 31) % 251);
  void memory.put("object", bytes).then(() => {
    const store: ObjectStore = {
      url: "memory:",
      capabilities: memory.capabilities,
      get,
      put: (...args) => memory.put(...args),
      list: (...args) => memory.list(...args),
      delete: (...args) => memory.delete(...args),
      close: () => memory.close(),
    };
    const service = serveRanges(port, store, { bell: new Bell(bell), concurrency });
    parentPort?.on("message", (message: string) => {
      if (message === "close") service.close();
    });
    parentPort?.postMessage("ready");
  });
});

function forever(signal: AbortSignal | undefined, counts: Int32Array): Promise<never> {
  return new Promise((_, reject) => {
    const onAbort = (): void => {
      Atomics.add(counts, ABORTED, 1);
      reject(new PagefoldError("aborted", "aborted"));
    };
    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort);
  });
}
