/**
 * A store that fails on purpose, for simulations and tests. What happens to which call is decided by a `FaultPlan`, a plain
 * function of the call; `scriptedFaults` and `seededFaults` make deterministic ones.
 */
import { PagefoldError } from "../base/errors.ts";
import type { Runtime } from "../base/runtime.ts";
import { isWhole } from "./body.ts";
import type { Body, ObjectStore, PutOptions } from "./object-store.ts";

export type StoreOperation = "get" | "put" | "list" | "delete";

/** One call as a plan sees it. */
export interface StoreCall {
  readonly operation: StoreOperation;
  /** The key; of a listing its prefix; of a deletion its first key. */
  readonly key: string;
  /** 1 for the first call of all, whatever its operation. */
  readonly number: number;
}

/**
 * - `fail-before`: the call fails and had no effect
 * - `fail-after`: the call takes effect, and its answer is lost
 * - `late`: the call fails now, and takes effect `ms` later all the same (puts of whole bodies and deletions only)
 * - `delay`: the call waits for `ms` first
 * - `truncate`: a get returns only its first `keep` bytes
 * - `flip`: a get returns its bytes with bit `bit` modulo their number inverted
 * - `interrupt`: the stream of a put breaks after `afterBytes` bytes (a whole body: `fail-before`)
 */
export type Fault =
  | { readonly kind: "fail-before"; readonly error?: PagefoldError }
  | { readonly kind: "fail-after"; readonly error?: PagefoldError }
  | { readonly kind: "late"; readonly ms: number; readonly error?: PagefoldError }
  | { readonly kind: "delay"; readonly ms: number }
  | { readonly kind: "truncate"; readonly keep: number }
  | { readonly kind: "flip"; readonly bit: number }
  | { readonly kind: "interrupt"; readonly afterBytes: number; readonly error?: PagefoldError };

/** Called once per call, in the order of the calls; `undefined` lets it through. */
export type FaultPlan = (call: StoreCall) => Fault | undefined;

export interface FaultOptions {
  /** For `delay` and `late`. */
  readonly runtime: Runtime;
}

export function withFaults(store: ObjectStore, plan: FaultPlan, options: FaultOptions): ObjectStore {
  const { runtime } = options;
  let calls = 0;

  async function faulty<T>(
    operation: StoreOperation,
    key: string,
    work: (fault: Fault | undefined) => Promise<T>,
  ): Promise<T> {
    const fault = plan({ operation, key, number: ++calls });
    switch (fault?.kind) {
      case "delay":
        await runtime.sleep(fault.ms);
        return work(undefined);
      case "fail-before":
        throw fault.error ?? injected(operation, key);
      case "fail-after":
        await work(undefined);
        throw fault.error ?? injected(operation, key);
      default:
        return work(fault);
    }
  }

  function later(fault: Fault & { readonly kind: "late" }, effect: () => Promise<unknown>): void {
    // Nobody waits for it: the caller was told that it failed, so whatever becomes of it is in the store or is not.
    runtime
      .sleep(fault.ms)
      .then(effect)
      .catch(() => {});
  }

  return {
    url: store.url,
    capabilities: store.capabilities,
    get: (key, opts) =>
      faulty("get", key, async (fault) => {
        if (fault?.kind === "late") throw fault.error ?? injected("get", key);
        const bytes = await store.get(key, opts);
        if (bytes === undefined || bytes.length === 0) return bytes;
        if (fault?.kind === "truncate") return bytes.slice(0, fault.keep);
        if (fault?.kind === "flip") flipBit(bytes, fault.bit);
        return bytes;
      }),
    put: (key, body, opts) =>
      faulty("put", key, async (fault) => {
        if (fault?.kind === "interrupt") return interrupted(store, key, body, opts, fault);
        if (fault?.kind !== "late") return store.put(key, body, opts);
        if (isWhole(body)) {
          const kept = body.slice();
          later(fault, () => store.put(key, kept, opts?.ifAbsent === true ? { ifAbsent: true } : {}));
        }
        throw fault.error ?? injected("put", key);
      }),
    list: (prefix, opts) =>
      faulty("list", prefix, async (fault) => {
        if (fault?.kind === "late") throw fault.error ?? injected("list", prefix);
        return store.list(prefix, opts);
      }),
    delete: (keys, opts) =>
      faulty("delete", keys[0] ?? "", async (fault) => {
        if (fault?.kind !== "late") return store.delete(keys, opts);
        const kept = [...keys];
        later(fault, () => store.delete(kept));
        throw fault.error ?? injected("delete", keys[0] ?? "");
      }),
    close: () => store.close(),
  };
}

function injected(operation: StoreOperation, key: string): PagefoldError {
  return new PagefoldError("unavailable", `injected fault: ${operation} of ${key} failed; try again`, {
    details: { key, injected: true },
  });
}

function flipBit(bytes: Uint8Array, bit: number): void {
  const at = bit % (bytes.length * 8);
  const index = Math.floor(at / 8);
  bytes[index] = (bytes[index] ?? 0) ^ (1 << (at % 8));
}

async function interrupted(
  store: ObjectStore,
  key: string,
  body: Body,
  options: PutOptions | undefined,
  fault: Fault & { readonly kind: "interrupt" },
): Promise<"created" | "exists"> {
  const error = fault.error ?? injected("put", key);
  if (isWhole(body)) throw error;
  async function* breaking(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    let left = fault.afterBytes;
    for await (const chunk of chunks) {
      if (chunk.length > left) {
        if (left > 0) yield chunk.subarray(0, left);
        throw error;
      }
      left -= chunk.length;
      yield chunk;
    }
    throw error;
  }
  return store.put(key, breaking(body), options);
}
