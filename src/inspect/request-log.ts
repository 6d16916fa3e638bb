/** An object store that tells of every request when it is over: where it went, how long it took, how many bytes. For pictures; `withMetrics` counts. */
import { isWhole } from "../remote/body.ts";
import type { ObjectStore } from "../remote/object-store.ts";

export interface RequestEvent {
  readonly operation: "get" | "bundle" | "put" | "list" | "delete";
  /** Of several that are deleted together, the first; of a bundle, the volume's name. */
  readonly key: string;
  /** On the clock that `withRequestLog` was given. */
  readonly start: number;
  readonly durationMs: number;
  /** Of the body, either way; 0 where there was none, or where it was streamed. */
  readonly bytes: number;
  /** Where the range began; null for a whole object. */
  readonly offset: number | null;
  readonly failed: boolean;
}

type About = Pick<RequestEvent, "operation" | "key"> & { readonly offset?: number | undefined };

/** @param monotonic milliseconds @param tell must not throw */
export function withRequestLog(
  store: ObjectStore,
  monotonic: () => number,
  tell: (event: RequestEvent) => void,
): ObjectStore {
  async function told<T>(about: About, bytesOf: (result: T) => number, work: () => Promise<T>): Promise<T> {
    const start = monotonic();
    const end = (bytes: number, failed: boolean): void =>
      tell({ ...about, offset: about.offset ?? null, start, durationMs: monotonic() - start, bytes, failed });
    try {
      const result = await work();
      end(bytesOf(result), false);
      return result;
    } catch (error) {
      end(0, true);
      throw error;
    }
  }
  const none = (): number => 0;
  return {
    url: store.url,
    capabilities: store.capabilities,
    ...(store.http === undefined ? {} : { http: store.http }),
    ...(store.bundle === undefined
      ? {}
      : {
          bundle: (name, options) =>
            told(
              { operation: "bundle", key: name },
              (bundle) => bundle?.objects.reduce((sum, { bytes }) => sum + bytes.length, 0) ?? 0,
              async () => store.bundle?.(name, options),
            ),
        }),
    ...(store.watch === undefined ? {} : { watch: store.watch.bind(store) }),
    get: (key, options) =>
      told(
        { operation: "get", key, offset: options?.range?.offset },
        (bytes) => bytes?.length ?? 0,
        () => store.get(key, options),
      ),
    put: (key, body, options) => {
      const length = isWhole(body) ? body.length : 0;
      return told(
        { operation: "put", key },
        () => length,
        () => store.put(key, body, options),
      );
    },
    list: (key, options) => told({ operation: "list", key }, none, () => store.list(key, options)),
    delete: (keys, options) =>
      told({ operation: "delete", key: keys[0] ?? "" }, none, () => store.delete(keys, options)),
    close: () => store.close(),
  };
}
