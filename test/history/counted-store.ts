/**
 * A store that counts requests, bytes and round trips. Every request waits until nothing else is about to be asked, then all that wait are answered
 * together: so a request that needed an answer belongs to a later generation than the one that it waited for, however many run in parallel, and
 * the generations are the round trips of a store that takes equally long for everything.
 */
import { isWhole } from "../../src/remote/body.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";

export interface StoreCost {
  readonly get: number;
  readonly list: number;
  readonly put: number;
  readonly delete: number;
  /** All of them. */
  readonly requests: number;
  readonly bytesGot: number;
  readonly bytesPut: number;
  readonly roundTrips: number;
}

/** Turns of the event loop without a new request after which nobody is about to ask for more. */
const QUIET_TURNS = 4;

export class CountedStore {
  readonly store: ObjectStore;
  /** Whether requests wait for one another, so that round trips mean something. Off, it only counts. */
  inRounds = true;
  /** Keys of all requests, where it is set. */
  keys: string[] | undefined;
  #counts = { get: 0, list: 0, put: 0, delete: 0, bytesGot: 0, bytesPut: 0, roundTrips: 0 };
  #waiting: (() => void)[] = [];
  #arrived = 0;
  #pumping = false;

  constructor(inner: ObjectStore) {
    const asked = async (kind: "get" | "list" | "put" | "delete", key: string): Promise<void> => {
      this.#counts[kind]++;
      this.keys?.push(`${kind} ${key}`);
      if (this.inRounds) await this.#nextRound();
    };
    this.store = {
      url: inner.url,
      capabilities: inner.capabilities,
      get: async (key, options) => {
        await asked("get", key);
        const bytes = await inner.get(key, options);
        this.#counts.bytesGot += bytes?.length ?? 0;
        return bytes;
      },
      put: async (key, body, options) => {
        await asked("put", key);
        if (isWhole(body)) this.#counts.bytesPut += body.length;
        return inner.put(key, isWhole(body) ? body : this.#counting(body), options);
      },
      list: async (prefix, options) => {
        await asked("list", prefix);
        return inner.list(prefix, options);
      },
      delete: async (keys, options) => {
        await asked("delete", keys[0] ?? "");
        return inner.delete(keys, options);
      },
      close: () => inner.close(),
    };
  }

  /** What some work costs; nothing else may use the store meanwhile. */
  async cost<T>(work: () => Promise<T>): Promise<StoreCost & { readonly value: T }> {
    const before = this.#counts;
    this.#counts = { get: 0, list: 0, put: 0, delete: 0, bytesGot: 0, bytesPut: 0, roundTrips: 0 };
    try {
      const value = await work();
      const counts = this.#counts;
      return { ...counts, requests: counts.get + counts.list + counts.put + counts.delete, value };
    } finally {
      this.#counts = before;
    }
  }

  async *#counting(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of chunks) {
      this.#counts.bytesPut += chunk.length;
      yield chunk;
    }
  }

  #nextRound(): Promise<void> {
    this.#arrived++;
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      if (!this.#pumping) void this.#pump();
    });
  }

  async #pump(): Promise<void> {
    this.#pumping = true;
    while (this.#waiting.length > 0) {
      for (let quiet = 0, seen = this.#arrived; quiet < QUIET_TURNS; quiet++) {
        await new Promise((resolve) => setImmediate(resolve));
        if (this.#arrived !== seen) {
          quiet = -1;
          seen = this.#arrived;
        }
      }
      this.#counts.roundTrips++;
      for (const answer of this.#waiting.splice(0)) answer();
    }
    this.#pumping = false;
  }
}
