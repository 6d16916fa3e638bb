/**
 * Where the bytes of pages lie, apart from how they travel: in a segment that a loaded checkpoint places them in, else in the commit that wrote
 * them, else, where that was collected, in a segment that a checkpoint of the newest floor names.
 */
import type { Lsn, PageIdx, VolumeId } from "../base/brand.ts";
import { isPagefoldError, PagefoldError } from "../base/errors.ts";
import type { DecodedCommit } from "../format/commit-codec.ts";
import { PageSet, PageSetBuilder } from "../format/page-set.ts";
import type { NamedCheckpoint } from "../volume/commit-directory.ts";
import type { FetchPlan } from "../volume/fetch-plan.ts";
import {
  type FramePlanContext,
  loadCommits,
  placedKey,
  type SegmentSource,
  sourceInCheckpoint,
  sourceInCommit,
} from "./commit-lookup.ts";
import { findFloor, findOlderFloors, loadCheckpoint } from "./floor.ts";

/** Pages to be had of one commit: all of them were written last by `lsn` in the state at hand. */
export interface WantedPages {
  readonly lsn: Lsn;
  readonly pages: PageSet;
}

/** Pages that lie in one segment. */
export interface SegmentPages {
  readonly source: SegmentSource;
  readonly pages: PageSet;
}

export interface LocatedPages {
  readonly segments: readonly SegmentPages[];
  /** Nowhere: their commit made them zeros. */
  readonly zeroed: readonly WantedPages[];
}

/**
 * Finds wanted pages; loads what it needs for that.
 * @throws `not_found` for pages of a state that the retention does not keep any more, `corrupt` where the store lost something
 */
export function* locatePages(
  context: FramePlanContext,
  wanted: readonly WantedPages[],
): FetchPlan<LocatedPages> {
  const placed = new Placed(context);
  const rest = placed.take(wanted);
  if (rest.length === 0) return { segments: placed.segments(), zeroed: placed.zeroed };
  const { directory } = context;
  // A commit that nothing names by its hash proves nothing.
  const provable = rest.filter(
    ({ lsn }) => directory.hash(lsn) !== undefined || directory.commit(lsn) !== undefined,
  );
  const commits = yield* loadCommits(context, lsnsOf(provable), { mayBeGone: true });
  const gone = rest.filter(({ lsn }) => !commits.has(lsn));
  const found = rest.filter(({ lsn }) => commits.has(lsn));
  const segments: SegmentPages[] = [];
  for (const each of found.flatMap(({ lsn, pages }) => segmentsOf(context, commits.get(lsn)!, pages))) {
    if (directory.isGone(each.source.key)) gone.push({ lsn: each.source.lsn, pages: each.pages });
    else segments.push(each);
  }
  if (gone.length > 0) yield* loadKept(context, gone, placed);
  return {
    segments: [...placed.segments(), ...segments],
    zeroed: [
      ...placed.zeroed,
      ...found
        .map(({ lsn, pages }) => ({ lsn, pages: pages.intersect(commits.get(lsn)!.header.zeroed) }))
        .filter(({ pages }) => !pages.isEmpty),
    ],
  };
}

function* lsnsOf(wanted: readonly WantedPages[]): IterableIterator<Lsn> {
  for (const { lsn } of wanted) yield lsn;
}

/** Pages as loaded checkpoints place them. */
class Placed {
  readonly #context: FramePlanContext;
  readonly #found = new Map<string, { readonly source: SegmentSource; readonly pages: PageIdx[] }>();
  /** Pages that need no place, as a checkpoint with all places says. */
  readonly zeroed: WantedPages[] = [];

  constructor(context: FramePlanContext) {
    this.#context = context;
  }

  /** Takes the pages that are placed, and answers the others. */
  take(wanted: readonly WantedPages[]): WantedPages[] {
    const { directory } = this.#context;
    // The newest was put in order last; were pages of one state read by several, frames would be fetched for a page each.
    const loaded = [...directory.checkpoints()].sort((a, b) => b.lsn - a.lsn);
    if (loaded.length === 0) return [...wanted];
    const rest: WantedPages[] = [];
    for (const { lsn, pages } of wanted) {
      const candidates = loaded.filter((each) => each.lsn >= lsn);
      const owner = directory.volumeOf(lsn);
      const others = new PageSetBuilder();
      const zeros = new PageSetBuilder();
      for (const page of pages) {
        let source: SegmentSource | undefined;
        for (const each of candidates) {
          const segment = each.placeOf(page, lsn);
          if (segment === undefined || directory.isGone(placedKey(segment))) continue;
          source = sourceInCheckpoint(each, segment, directory);
          break;
        }
        if (source !== undefined) this.#add(source, page);
        else if (candidates.some((each) => each.isZero(page, lsn, each.checkpoint.volume === owner)))
          zeros.add(page);
        else others.add(page);
      }
      const zeroed = zeros.build();
      if (!zeroed.isEmpty) this.zeroed.push({ lsn, pages: zeroed });
      const left = others.build();
      if (!left.isEmpty) rest.push({ lsn, pages: left });
    }
    return rest;
  }

  #add(source: SegmentSource, page: PageIdx): void {
    const known = this.#found.get(source.key);
    if (known === undefined) this.#found.set(source.key, { source, pages: [page] });
    else known.pages.push(page);
  }

  segments(): SegmentPages[] {
    return [...this.#found.values()].map(({ source, pages }) => ({
      source,
      pages: PageSet.of(pages.sort((a, b) => a - b)),
    }));
  }
}

/**
 * Whether an error says that an object is not there, though something named it: it may have been collected since. Then looking again finds another
 * place, or says that there is none; it does not find that object again.
 */
export function foundGone({ directory }: FramePlanContext, error: unknown): boolean {
  if (!isPagefoldError(error, "corrupt") || error.details.gone !== true) return false;
  directory.learnGone(String(error.details.key));
  return true;
}

/**
 * Of a failure to find something elsewhere and of the first that led there, the one to tell: that an object is missing, unless it was collected. What was
 * gone may be put back; it is looked for again then.
 * @param gone undefined where nothing was
 */
export function toTell({ directory }: FramePlanContext, gone: unknown, error: unknown): unknown {
  if (gone === undefined) return error;
  directory.forgetGone();
  return isPagefoldError(error, "corrupt") ? gone : error;
}

/** Finds pages whose commits were collected: checkpoints that are known by name first, then those of the newest floor and of the ones before. */
function* loadKept(context: FramePlanContext, gone: readonly WantedPages[], placed: Placed): FetchPlan<void> {
  const { directory } = context;
  const asked = new Set<string>();
  let rest = gone;
  const tryAll = function* (): FetchPlan<void> {
    for (const named of candidates([...directory.namedCheckpoints()], rest)) {
      if (asked.has(named.hash)) continue;
      asked.add(named.hash);
      if ((yield* loadCheckpoint(context, named)) !== undefined) rest = placed.take(rest);
      if (rest.length === 0) return;
    }
  };
  yield* tryAll();
  const owners = new Set(rest.map(({ lsn }) => directory.volumeOf(lsn)));
  // Of a fork that detached, everything is under its own prefix.
  if (rest.length > 0) owners.add(directory.manifest.volume);
  for (const volume of owners) {
    yield* findFloor(context, volume);
    yield* tryAll();
    if (rest.length === 0) return;
  }
  // A floor that held when the state was opened may have been replaced, and what it kept be there still.
  for (const volume of owners) {
    let floor = directory.floor(volume);
    for (let round = 0; round < OLDER_ROUNDS && floor !== undefined && floor.lsn > leastOf(rest); round++) {
      floor = yield* findOlderFloors(context, floor);
      yield* tryAll();
      if (rest.length === 0) return;
    }
  }
  if (rest.length > 0) throw collected(context, rest);
}

/** How often older floors are asked for, before a state is taken to be gone. */
const OLDER_ROUNDS = 4;

function leastOf(wanted: readonly WantedPages[]): number {
  return Math.min(...wanted.map(({ lsn }) => lsn));
}

/** The newest first, as most pages of an old state still stand in it, then those closest above who wrote them. */
function candidates(named: NamedCheckpoint[], rest: readonly WantedPages[]): NamedCheckpoint[] {
  const least = leastOf(rest);
  const usable = named.filter(({ lsn }) => lsn >= least).sort((a, b) => a.lsn - b.lsn);
  const newest = usable.pop();
  return newest === undefined ? usable : [newest, ...usable];
}

/** Splits pages of one commit by its segments; zeroed pages have no bytes and need none. */
function segmentsOf({ directory }: FramePlanContext, commit: DecodedCommit, pages: PageSet): SegmentPages[] {
  const { header } = commit;
  const stored = pages.subtract(header.zeroed);
  if (!stored.subtract(header.changed).isEmpty) {
    throw new PagefoldError(
      "corrupt",
      `the log of volume ${header.volume} says that commit ${header.lsn} wrote pages ${stored.subtract(header.changed)}, the commit does not have them; ` +
        "a rollup lies: run `pagefold verify` on the store",
      { details: { volume: header.volume, lsn: header.lsn } },
    );
  }
  if (stored.isEmpty) return [];
  const found: SegmentPages[] = [];
  header.segments.forEach((segment, ordinal) => {
    if (segment.lastPage < stored.first! || segment.firstPage > stored.last!) return;
    const inside = stored.intersect(PageSet.range(segment.firstPage, segment.lastPage));
    if (!inside.isEmpty) found.push({ source: sourceInCommit(directory, commit, ordinal), pages: inside });
  });
  return found;
}

function collected({ directory, storeUrl }: FramePlanContext, rest: readonly WantedPages[]): PagefoldError {
  const { lsn, pages } = rest[0]!;
  const volume: VolumeId = directory.volumeOf(lsn);
  const floor = directory.floor(volume);
  if (floor === undefined || floor.lsn <= lsn) {
    return new PagefoldError(
      "corrupt",
      `commit ${lsn} of volume ${volume} is missing in ${storeUrl}, though later commits name it; other pages are still readable: ` +
        "restore the object from a copy of the store",
      { details: { volume, lsn, page: pages.first! } },
    );
  }
  return new PagefoldError(
    "not_found",
    `page ${pages.first} of volume ${volume} as commit ${lsn} wrote it was collected: the retention keeps everything from LSN ${floor.lsn} on` +
      `${keptBelow(floor.lsn, floor.checkpoints)}; open a newer snapshot, or ask the owner of the volume to keep more (\`pagefold retention\`)`,
    { details: { volume, lsn, page: pages.first!, floor: floor.lsn } },
  );
}

function keptBelow(floor: Lsn, checkpoints: readonly { readonly lsn: Lsn }[]): string {
  const below = checkpoints.filter(({ lsn }) => lsn < floor).map(({ lsn }) => lsn);
  if (below.length === 0) return "";
  const shown = below.slice(-8);
  return `, and below that LSN ${below.length > shown.length ? "…, " : ""}${shown.join(", ")}`;
}
