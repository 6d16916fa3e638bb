/**
 * Counts what goes through a store. Put it right above the backend, under retries and hedging, so that it counts requests
 * rather than wishes.
 *
 * Counters: `remote.get.count`, `remote.get.bytes`, `remote.put.count`, `remote.put.bytes`, `remote.put.exists`,
 * `remote.list.count`, `remote.delete.count` (calls) and `remote.delete.keys`. Spans `remote.get`, `remote.put`,
 * `remote.list`, `remote.delete` give durations and failures. Bytes are those of successful calls.
 */
import type { Recorder } from "../base/recorder.ts";
import { isWhole } from "./body.ts";
import type { Body, ObjectStore } from "./object-store.ts";

export function withMetrics(store: ObjectStore, recorder: Recorder): ObjectStore {
  async function spanned<T>(name: string, key: string, work: () => Promise<T>): Promise<T> {
    recorder.count(`${name}.count`);
    const end = recorder.span(name, { key });
    try {
      const result = await work();
      end();
      return result;
    } catch (error) {
      end(error);
      throw error;
    }
  }
  return {
    url: store.url,
    capabilities: store.capabilities,
    ...(store.http === undefined ? {} : { http: store.http }),
    ...(store.bundle === undefined
      ? {}
      : {
          // To the network it is a GET like any other.
          bundle: (name, options) =>
            spanned("remote.get", name, async () => {
              const bundle = await store.bundle?.(name, options);
              for (const { bytes } of bundle?.objects ?? []) recorder.count("remote.get.bytes", bytes.length);
              return bundle;
            }),
        }),
    ...(store.watch === undefined ? {} : { watch: store.watch.bind(store) }),
    get: (key, options) =>
      spanned("remote.get", key, async () => {
        const bytes = await store.get(key, options);
        if (bytes !== undefined) recorder.count("remote.get.bytes", bytes.length);
        return bytes;
      }),
    put: (key, body, options) =>
      spanned("remote.put", key, async () => {
        const counted = countBytes(body);
        const outcome = await store.put(key, counted.body, options);
        if (outcome === "created") recorder.count("remote.put.bytes", counted.length());
        else recorder.count("remote.put.exists");
        return outcome;
      }),
    list: (prefix, options) => spanned("remote.list", prefix, () => store.list(prefix, options)),
    delete: (keys, options) =>
      spanned("remote.delete", keys[0] ?? "", async () => {
        await store.delete(keys, options);
        recorder.count("remote.delete.keys", keys.length);
      }),
    close: () => store.close(),
  };
}

function countBytes(body: Body): { readonly body: Body; readonly length: () => number } {
  if (isWhole(body)) return { body, length: () => body.length };
  let length = 0;
  async function* counting(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of chunks) {
      length += chunk.length;
      yield chunk;
    }
  }
  return { body: counting(body), length: () => length };
}
