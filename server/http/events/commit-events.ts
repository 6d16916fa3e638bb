/** The events of commits, made from what is stored, or from what was just sent, and kept for the others who will hear of them. */
import type { Lsn, VolumeId } from "../../../src/base/brand.ts";
import { Lru } from "../../../src/base/lru.ts";
import type { Codecs } from "../../../src/format/codecs.ts";
import { decodeCommit } from "../../../src/format/commit-codec.ts";
import { commitKey } from "../../../src/format/keys.ts";
import type { CachedStore } from "../cache/with-cache.ts";
import type { KnownVolume, VolumeLogs } from "../volume-logs.ts";
import { CommitEvent, INLINE_OBJECT_BYTES } from "./commit-event.ts";

/** A client further behind is told of the newest commit only. */
const CATCH_UP = 32;
const KEPT_BYTES = 8 * 2 ** 20;

export class CommitEvents {
  readonly #parts: { readonly store: CachedStore; readonly logs: VolumeLogs; readonly codecs: Codecs };
  readonly #kept = new Lru<string, CommitEvent>(KEPT_BYTES);

  constructor(parts: { readonly store: CachedStore; readonly logs: VolumeLogs; readonly codecs: Codecs }) {
    this.#parts = parts;
  }

  /** The event of a commit, if it is at hand. */
  made(volume: VolumeId, lsn: number): CommitEvent | undefined {
    return this.#kept.get(`${volume}@${lsn}`);
  }

  /** @param object the commit object as it is stored */
  make(volume: VolumeId, lsn: Lsn, object: Uint8Array, owner: VolumeId = volume): CommitEvent {
    const commit = decodeCommit(object, this.#parts.codecs.hash, { volume: owner, lsn });
    const rides = commit.totalLength <= INLINE_OBJECT_BYTES ? object : undefined;
    return this.#keep(new CommitEvent(commit, volume, rides));
  }

  /** What tells of (from, to], oldest first: of each commit, or of the newest alone where they are many. */
  async between(known: KnownVolume, from: number, to: number): Promise<CommitEvent[]> {
    const first = to - from > CATCH_UP ? to : from + 1;
    const events: CommitEvent[] = [];
    for (let lsn = first; lsn <= to; lsn++) events.push(await this.#event(known, lsn as Lsn));
    return events;
  }

  /** The store may hold other commits now. */
  clear(): void {
    this.#kept.clear();
  }

  async #event(known: KnownVolume, lsn: Lsn): Promise<CommitEvent> {
    const { volume } = known.manifest;
    const made = this.made(volume, lsn);
    if (made !== undefined) return made;
    const { store, logs } = this.#parts;
    const owner = logs.directory(known).volumeOf(lsn);
    const object = await store.read(commitKey(owner, lsn), { offset: 0, length: INLINE_OBJECT_BYTES + 1 });
    if (object !== undefined && object.length <= INLINE_OBJECT_BYTES)
      return this.make(volume, lsn, object, owner);
    return this.#keep(new CommitEvent(await logs.commit(known, lsn), volume, undefined));
  }

  #keep(event: CommitEvent): CommitEvent {
    this.#kept.set(`${event.volume}@${event.lsn}`, event, event.cost);
    return event;
  }
}
