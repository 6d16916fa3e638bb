/** A store in which a volume's log ends earlier than it does: one long log serves for opening it at any length, and for catching up from there. */
import type { Lsn, VolumeId } from "../../src/base/brand.ts";
import { encodeHeadHint } from "../../src/format/head-codec.ts";
import {
  checkpointsPrefix,
  commitsPrefix,
  complement,
  headKey,
  rollupsPrefix,
} from "../../src/format/keys.ts";
import type { ObjectStore } from "../../src/remote/object-store.ts";

export class LogPrefix {
  readonly store: ObjectStore;
  /** The newest commit that there is. */
  head: number;

  constructor(inner: ObjectStore, volume: VolumeId, head: number) {
    this.head = head;
    const byLsn = [commitsPrefix(volume), rollupsPrefix(volume), checkpointsPrefix(volume)];
    // Complements: what is newer sorts before.
    const isLater = (key: string): boolean => {
      const prefix = byLsn.find((each) => key.startsWith(each));
      return prefix !== undefined && key.slice(prefix.length, prefix.length + 16) < complement(this.head);
    };
    this.store = {
      url: inner.url,
      capabilities: inner.capabilities,
      get: async (key, options) => {
        if (key === headKey(volume)) return encodeHeadHint(this.head as Lsn);
        return isLater(key) ? undefined : inner.get(key, options);
      },
      put: (key, body, options) => inner.put(key, body, options),
      list: (prefix, options = {}) => {
        const within = byLsn.find((each) => prefix === each);
        if (within === undefined) return inner.list(prefix, options);
        // `head` itself comes first: after everything later, which ends with a character below it.
        const before = `${within}${complement(this.head + 1)}~`;
        const { startAfter } = options;
        return inner.list(prefix, {
          ...options,
          startAfter: startAfter === undefined || startAfter < before ? before : startAfter,
        });
      },
      delete: (keys, options) => inner.delete(keys, options),
      close: () => inner.close(),
    };
  }
}
