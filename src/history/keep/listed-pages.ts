/** Listings of any length. */
import type { ListEntry, ObjectStore } from "../../remote/object-store.ts";

type Signal = { readonly signal?: AbortSignal };

const PAGE = 1000;

/** Everything with a prefix, in pages of a thousand, so that memory does not grow with what there is. */
export async function* listedPages(
  store: ObjectStore,
  prefix: string,
  options: Signal & { readonly startAfter?: string } = {},
): AsyncGenerator<ListEntry[], void, undefined> {
  for (let from = options.startAfter; ; ) {
    const entries = await store.list(prefix, {
      limit: PAGE,
      ...(from === undefined ? {} : { startAfter: from }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    if (entries.length > 0) yield entries;
    if (entries.length < PAGE) return;
    from = entries.at(-1)!.key;
  }
}
