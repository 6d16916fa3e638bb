/**
 * An object store in memory whose bytes can also be read at once, and the bridge that does so: every fault of SQLite is carried out to its
 * end without a turn of the event loop, so that thousands of statements run per second.
 */
import { PagefoldError } from "../../src/base/errors.ts";
import { collectBody } from "../../src/remote/body.ts";
import { MemoryObjectStore } from "../../src/remote/memory-store.ts";
import type {
  Body,
  GetOptions,
  ListOptions,
  ObjectStore,
  PutOptions,
} from "../../src/remote/object-store.ts";
import type { FetchPlan, RangeRequest } from "../../src/volume/fetch-plan.ts";
import { type BlockingBridge, drivePlan } from "../../vfs/bridge/bridge.ts";

export class ObjectMap implements ObjectStore {
  readonly url = "memory:model";
  readonly #memory = new MemoryObjectStore();
  readonly capabilities = this.#memory.capabilities;
  readonly #bytes = new Map<string, Uint8Array>();
  #cutIn: number | undefined;
  #cutAfter = false;
  /** How many puts were cut off. */
  cuts = 0;

  /** The put that comes after so many others fails, before or after it has taken effect, and so do all that follow until `mend`. */
  cut(after: number, takesEffect: boolean): void {
    this.#cutIn = after;
    this.#cutAfter = takesEffect;
  }

  mend(): void {
    this.#cutIn = undefined;
  }

  /** What `get` answers, at once. */
  read({ key, offset, length }: RangeRequest): Uint8Array | undefined {
    return this.#bytes.get(key)?.slice(offset, offset + length);
  }

  get(key: string, options?: GetOptions): Promise<Uint8Array | undefined> {
    return this.#memory.get(key, options);
  }

  async put(key: string, body: Body, options?: PutOptions): Promise<"created" | "exists"> {
    const bytes = body instanceof Uint8Array ? body.slice() : await collectBody(body, options?.signal, key);
    const cut = this.#isCut();
    if (cut && !this.#cutAfter) throw cutOff();
    const outcome = await this.#memory.put(key, bytes, options);
    if (outcome === "created") this.#bytes.set(key, bytes);
    if (cut) throw cutOff();
    return outcome;
  }

  #isCut(): boolean {
    if (this.#cutIn === undefined || this.#cutIn-- > 0) return false;
    this.cuts++;
    return true;
  }

  list(prefix: string, options?: ListOptions) {
    return this.#memory.list(prefix, options);
  }

  async delete(keys: readonly string[], options?: { readonly signal?: AbortSignal }): Promise<void> {
    await this.#memory.delete(keys, options);
    for (const key of keys) this.#bytes.delete(key);
  }

  async close(): Promise<void> {}
}

/** Reads of one replica, some of which may be made to fail. */
export class Line {
  readonly #objects: ObjectMap;
  /** So many batches from now the store cannot be reached once; undefined: it always can. */
  failIn: number | undefined;
  failures = 0;
  batches = 0;

  constructor(objects: ObjectMap) {
    this.#objects = objects;
  }

  /** @throws `unavailable` where it is this batch's turn to fail */
  read(batch: readonly RangeRequest[]): (Uint8Array | undefined)[] {
    this.batches++;
    if (this.failIn !== undefined && this.failIn-- === 0) {
      this.failIn = undefined;
      this.failures++;
      throw cutOff();
    }
    return batch.map((request) => this.#objects.read(request));
  }
}

export class LineBridge implements BlockingBridge {
  readonly kind = "shared-memory";
  readonly blocking = true;
  readonly #line: Line;

  constructor(line: Line) {
    this.#line = line;
  }

  run<T>(plan: FetchPlan<T>): T {
    return drivePlan(plan, (batch) => this.#line.read(batch));
  }
}

function cutOff(): PagefoldError {
  return new PagefoldError("unavailable", "the cable was cut", { retryable: false });
}
