/** A view of one part of a store: every key of the view lies under a prefix of the store behind it. */
import { checkKey, checkPrefix } from "./keys.ts";
import type { Body, GetOptions, ListEntry, ListOptions, ObjectStore, PutOptions } from "./object-store.ts";

/** `prefix`: a key of which the view's keys become parts, with or without a slash at its end. Closing the view closes the store. */
export function withPrefix(store: ObjectStore, prefix: string): ObjectStore {
  const base = prefix.endsWith("/") ? prefix : `${prefix}/`;
  checkKey(base.slice(0, -1));
  const within = (key: string): string => {
    checkKey(key);
    return base + key;
  };
  return {
    url: `${store.url.endsWith("/") || store.url.endsWith(":") ? store.url : `${store.url}/`}${base.slice(0, -1)}`,
    capabilities: store.capabilities,
    get: async (key: string, options?: GetOptions) => store.get(within(key), options),
    put: async (key: string, body: Body, options?: PutOptions) => store.put(within(key), body, options),
    async list(part: string, options: ListOptions = {}): Promise<ListEntry[]> {
      checkPrefix(part);
      const { startAfter } = options;
      const found = await store.list(base + part, {
        ...options,
        ...(startAfter === undefined ? {} : { startAfter: base + startAfter }),
      });
      return found.map(({ key, size }) => ({ key: key.slice(base.length), size }));
    },
    delete: async (keys: readonly string[], options?: { readonly signal?: AbortSignal }) =>
      store.delete(keys.map(within), options),
    close: () => store.close(),
  };
}
