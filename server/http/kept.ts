/**
 * What the newest floor of a volume keeps: the objects that its checkpoints name. Deleting asks here, and so does reading by a fork. Worked out once for
 * each floor, which never changes.
 */
import type { Lsn, VolumeId } from "../../src/base/brand.ts";
import { isPagefoldError } from "../../src/base/errors.ts";
import { Lru } from "../../src/base/lru.ts";
import type { Floor } from "../../src/format/model.ts";
import { placedKey } from "../../src/replicate/commit-lookup.ts";
import type { NamedCheckpoint } from "../../src/volume/commit-directory.ts";
import type { LoadedCheckpoint } from "../../src/volume/loaded-checkpoint.ts";
import type { ServerContext } from "./context.ts";
import { findDeleted } from "./deleted-volume.ts";
import type { NameOf } from "./object-keys.ts";
import type { KnownVolume, VolumeLogs } from "./volume-logs.ts";

export interface Kept {
  readonly floor: Floor | undefined;
  /** Keys of segments that its checkpoints name; the lowest LSN of these for each. */
  readonly segments: ReadonlyMap<string, Lsn>;
  /** The volume was deleted: beside what its floor names nothing is kept. */
  readonly onlyPins?: boolean;
}

const NOTHING: Kept = { floor: undefined, segments: new Map() };
/** Segments of all floors that are remembered, and answers about single segments. */
const SEGMENTS = 500_000;
const ANSWERS = 65_536;

export class KeptObjects {
  readonly #logs: VolumeLogs;
  readonly #parts: Pick<ServerContext, "origin" | "codecs">;
  readonly #floors = new Lru<string, Kept>(SEGMENTS);
  /** A segment that a checkpoint named holds what it held then, whatever later floors name. */
  readonly #lowest = new Lru<string, Lsn>(ANSWERS);

  constructor({ logs, origin, codecs }: Pick<ServerContext, "logs" | "origin" | "codecs">) {
    this.#logs = logs;
    this.#parts = { origin, codecs };
  }

  /** As of now; undefined where nothing of a volume is kept: there is none, or it is being deleted for good. */
  async find(volume: VolumeId, signal?: AbortSignal): Promise<Kept | undefined> {
    const live = await this.#logs.find(volume, signal);
    const known = live ?? (await findDeleted(this.#parts, volume, signal));
    if (known === undefined) return undefined;
    const kept = await this.of(known, signal);
    if (kept.floor?.closed === true) return undefined;
    return live === undefined ? { ...kept, onlyPins: true } : kept;
  }

  /** As of the newest floor. */
  async of(known: KnownVolume, signal?: AbortSignal): Promise<Kept> {
    const floor = await this.#logs.floor(known, signal);
    return floor === undefined ? NOTHING : this.under(known, floor, signal);
  }

  /** As of one floor. What its checkpoints do not say, because they are gone, is not kept by them. */
  async under(known: KnownVolume, floor: Floor, signal?: AbortSignal): Promise<Kept> {
    const { volume } = floor;
    const id = `${volume} ${floor.n} ${floor.time}`;
    const remembered = this.#floors.get(id);
    if (remembered !== undefined) return remembered;
    const segments = new Map<string, Lsn>();
    for (const { lsn, hash } of floor.checkpoints) {
      const loaded = await this.#loaded(known, floor, { volume, lsn, hash }, signal);
      for (const segment of loaded?.checkpoint.segments ?? []) {
        const key = placedKey(segment);
        // LSNs rise, so that the first is the lowest.
        if (!segments.has(key)) segments.set(key, lsn);
      }
    }
    const kept = { floor, segments };
    this.#floors.set(id, kept, segments.size + 1);
    return kept;
  }

  /** One above the floor is there to open from, and may be lost; those below say what must not go. @throws `corrupt` */
  async #loaded(
    known: KnownVolume,
    floor: Floor,
    named: NamedCheckpoint,
    signal: AbortSignal | undefined,
  ): Promise<LoadedCheckpoint | undefined> {
    try {
      return await this.#logs.checkpoint(known, named, signal);
    } catch (error) {
      if (named.lsn <= floor.lsn || !isPagefoldError(error, "corrupt", "unsupported_version")) throw error;
      return undefined;
    }
  }

  /** The lowest LSN whose kept state is read from a segment of a compaction; undefined where none is. */
  async lowestNaming({ key, volume }: NameOf<"compacted">, signal?: AbortSignal): Promise<Lsn | undefined> {
    const known = this.#lowest.get(key);
    if (known !== undefined) return known;
    const lsn = (await this.find(volume, signal))?.segments.get(key);
    if (lsn !== undefined) this.#lowest.set(key, lsn, 1);
    return lsn;
  }
}
