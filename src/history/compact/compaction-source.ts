/** What a compaction begins with: where the pages of a state lie under the newest floor, and which large segments of commits may stay where they are. */
import type { Hash, Lsn } from "../../base/brand.ts";
import { PagefoldError } from "../../base/errors.ts";
import { DIGEST_BYTES } from "../../format/hash.ts";
import { type Floor, forkPoint, type PlacedSegment } from "../../format/model.ts";
import { PageSet } from "../../format/page-set.ts";
import { loadCommits } from "../../replicate/commit-lookup.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { checkpointUpTo, fetchCheckpoint, newestFloor } from "../../replicate/floor.ts";
import type { RemoteState } from "../../volume/remote-state.ts";
import { reliable } from "./checkpoint.ts";
import { Placement } from "./placement.ts";

type Signal = { readonly signal?: AbortSignal | undefined };

/** A commit carries at most so many bytes of pages itself: only one with more has segments. */
const INLINE_RAW_BYTES = 1_048_576;
/** A commit's segment stays where it is if at least this part of it is shown. */
const LIVE_FRACTION = 3 / 4;
/** How often the floor may move between being asked for and its checkpoint. */
const TRIES = 8;

/** The newest floor, and where the pages of `state` lie under it. @param also checkpoints that will be named by the next floor */
export async function placementUnder(
  context: ReplicaContext,
  state: RemoteState,
  options: Signal & { readonly also?: ReadonlySet<Hash> },
): Promise<{ readonly floor: Floor | undefined; readonly placement: Placement }> {
  const { volume } = context.replica.manifest;
  for (let tries = 0; tries < TRIES; tries++) {
    const floor = await newestFloor(context, options);
    refuseCollected(context, floor, state.lsn);
    // Most pages still stand as they did at the next older one that is kept, or already as they do at the next newer one.
    const near = [checkpointUpTo(floor, state.lsn), floor?.checkpoints.find(({ lsn }) => lsn > state.lsn)];
    const wanted = near.filter((named) => named !== undefined).map((named) => ({ volume, ...named }));
    const loaded = await Promise.all(wanted.map((named) => fetchCheckpoint(context, named, options)));
    // Gone: then the floor has moved on. Those above it only save work, and may be lost.
    if (loaded.some((each, i) => each === undefined && wanted[i]!.lsn <= (floor?.lsn ?? 0))) continue;
    const sources = reliable(context, floor, state.lsn, options.also);
    return { floor, placement: new Placement(context.replica.directory, state, sources) };
  }
  throw new PagefoldError(
    "corrupt",
    `a checkpoint that the newest floor of volume ${volume} names is missing in ${context.remote.url}; restore the object from a copy of the store`,
    { details: { volume, lsn: state.lsn } },
  );
}

/** @throws `conflict` where the floor has passed the state, and does not keep it; `not_found` where the volume is deleted for good */
function refuseCollected({ replica }: ReplicaContext, floor: Floor | undefined, lsn: Lsn): void {
  const { volume } = replica.manifest;
  if (floor?.closed === true) {
    throw new PagefoldError("not_found", `volume ${volume} was deleted for good; nothing was changed`, {
      details: { volume },
    });
  }
  if (floor === undefined || lsn >= floor.lsn || floor.checkpoints.some((each) => each.lsn === lsn)) return;
  throw new PagefoldError(
    "conflict",
    `volume ${volume} keeps everything from LSN ${floor.lsn} on, and LSN ${lsn} is not kept any more; pull, then compact the newest state`,
    { details: { volume, lsn, floor: floor.lsn } },
  );
}

/** Pages without a place, apart by how they are read. */
export interface FreshPages {
  /** In commits that carry their pages themselves. */
  readonly scattered: ReadonlyMap<Lsn, PageSet>;
  /** In segments of larger commits. */
  readonly sorted: PageSet;
}

/**
 * Sorts out pages without a place. Segments of commits that are nearly all shown get their places as they are, unless `all` is to be rewritten: answers
 * their bytes.
 */
export async function adoptSegments(
  context: ReplicaContext,
  placement: Placement,
  floor: Floor | undefined,
  options: Signal & { readonly own?: boolean | undefined; readonly all?: boolean | undefined },
): Promise<{ readonly fresh: FreshPages; readonly adoptedBytes: number }> {
  const { replica, fetcher, frames } = context;
  const { pageSize } = replica.manifest;
  const lowest = Math.max(floor?.lsn ?? 0, forkPoint(replica.manifest));
  const unplaced = placement.unplaced(options.own === true);
  // One that nothing names by its hash proves nothing.
  const large = [...unplaced].filter(
    ([lsn, pages]) =>
      pages.size * pageSize > INLINE_RAW_BYTES * LIVE_FRACTION && replica.directory.hash(lsn) !== undefined,
  );
  const commits = await fetcher.run(
    loadCommits(
      frames,
      large.map(([lsn]) => lsn),
      { mayBeGone: true },
    ),
    options.signal,
  );
  const adopted: PlacedSegment[] = [];
  const sorted: PageSet[] = [];
  for (const [lsn, pages] of large) {
    const header = commits.get(lsn)?.header;
    for (const ref of header?.segments ?? []) {
      if (ref.id === undefined) continue;
      const live = pages.intersect(PageSet.range(ref.firstPage, ref.lastPage)).subtract(header!.zeroed);
      if (live.isEmpty) continue;
      const held = ref.digests.length / DIGEST_BYTES;
      // At or below the floor, or an ancestor's: others decide how long it is there.
      const stays = options.all !== true && lsn > lowest && live.size >= LIVE_FRACTION * held;
      if (!stays) sorted.push(live);
      else
        adopted.push({ volume: placement.volume, kind: "commit", number: lsn, id: ref.id, ref, pages: live });
    }
  }
  placement.move(adopted);
  const inSegments = PageSet.unionAll(sorted);
  const scattered = new Map<Lsn, PageSet>();
  for (const [lsn, pages] of placement.unplaced(options.own === true)) {
    const rest = pages.subtract(inSegments);
    if (!rest.isEmpty) scattered.set(lsn, rest);
  }
  const adoptedBytes = adopted.reduce((sum, { ref }) => sum + ref.length, 0);
  return { fresh: { scattered, sorted: inSegments }, adoptedBytes };
}

/** What is left to be placed after some pages were. */
export function withoutPages({ scattered, sorted }: FreshPages, moved: PageSet): FreshPages {
  const left = new Map<Lsn, PageSet>();
  for (const [lsn, pages] of scattered) {
    const rest = pages.subtract(moved);
    if (!rest.isEmpty) left.set(lsn, rest);
  }
  return { scattered: left, sorted: sorted.subtract(moved) };
}
