/**
 * What a compaction moves, as pure functions over page counts and page sets: which segments are worth rewriting, and what one step takes. No I/O here;
 * `compact.ts` carries it out.
 *
 * Size-tiered (as LSM trees are: O'Neil et al. 1996): segments that are far from full wait until there are `fanout` of about the same size, so that
 * every rewrite moves a page a tier up: O(log) rewrites until it lies in a full segment. A full segment is rewritten only for what is dead in it.
 */
import { assert } from "../../base/assert.ts";
import type { Lsn, SegmentId } from "../../base/brand.ts";
import { PageSet } from "../../format/page-set.ts";

export interface PlanLimits {
  /** Pages of a full segment. */
  readonly fullPages: number;
  /**
   * A segment is rewritten when more than this part of it is dead. Under random updates a page that dies costs (1 - d) / d copies of others: at 3/8 not
   * quite two, and segments take 1.25 times what lives in them; at 1/4 it would be three and 1.15.
   */
  readonly deadFraction: number;
  /** So many segments of one tier become one of the next. */
  readonly fanout: number;
  /** Pages that one step moves at most. */
  readonly stepPages: number;
  /** Of these, pages that lie scattered over small commits: they are held in memory. */
  readonly heldPages: number;
}

/** A segment that has a place: how many pages it holds, and which of them a state still shows. */
export interface SegmentLoad {
  readonly held: number;
  readonly live: PageSet;
}

/** What is to be moved, all of it at some time. */
export interface PlanInput {
  /** Pages without a place in small commits: each is read whole, so they are taken commit by commit, oldest first. */
  readonly scattered: ReadonlyMap<Lsn, PageSet>;
  /** Pages without a place in segments of commits, in page order there. */
  readonly sorted: PageSet;
  /** Segments that may be rewritten. */
  readonly segments: readonly SegmentLoad[];
  /** Everything is rewritten, so that all of it lies in order. */
  readonly all: boolean;
}

/** What one step moves. */
export interface StepPlan {
  readonly scattered: PageSet;
  /** Pages of segments, disjoint from `scattered`. */
  readonly sorted: PageSet;
  /** What is written lies where it is to stay; else a later step will take it again. */
  readonly settled: boolean;
}

/** The next step; undefined where nothing is worth moving. */
export function planStep(input: PlanInput, limits: PlanLimits): StepPlan | undefined {
  const { scattered, left } = takeScattered(input.scattered, Math.min(limits.heldPages, limits.stepPages));
  const room = limits.stepPages - scattered.size;
  let sorted: PageSet;
  if (!input.all) {
    const loads = input.segments.map(({ held, live }) => ({ held, live: live.size }));
    const chosen = segmentsToRewrite(loads, scattered.size + input.sorted.size, limits);
    sorted = PageSet.unionAll([input.sorted, ...chosen.map((i) => input.segments[i]!.live)]).slice(0, room);
  } else if (left) {
    // What lies scattered is put in order first, in as many steps as it takes: else each of them would read it again.
    sorted = PageSet.empty;
  } else {
    return planRange(input, limits);
  }
  const settled = !input.all || !left;
  return scattered.isEmpty && sorted.isEmpty ? undefined : { scattered, sorted, settled };
}

/** How many pages will be moved in all, were nothing to change meanwhile. */
export function pagesToMove(input: PlanInput, limits: PlanLimits): number {
  const fresh = [...input.scattered.values()].reduce((sum, { size }) => sum + size, input.sorted.size);
  const loads = input.segments.map(({ held, live }) => ({ held, live: live.size }));
  const chosen = input.all ? loads : segmentsToRewrite(loads, fresh, limits).map((i) => loads[i]!);
  return chosen.reduce((sum, { live }) => sum + live, fresh);
}

/** The lowest pages of everything, wherever they are, so that steps follow one another in page order. */
function planRange(input: PlanInput, limits: PlanLimits): StepPlan | undefined {
  const loose = PageSet.unionAll([...input.scattered.values()]);
  const rest = PageSet.unionAll([input.sorted, ...input.segments.map(({ live }) => live)]);
  const step = loose.union(rest).slice(0, limits.stepPages);
  const scattered = loose.intersect(step);
  return step.isEmpty ? undefined : { scattered, sorted: step.subtract(scattered), settled: true };
}

/** Whole commits, oldest first, of `most` pages together, but at least one page; `left`: there are more. */
function takeScattered(
  commits: ReadonlyMap<Lsn, PageSet>,
  most: number,
): { readonly scattered: PageSet; readonly left: boolean } {
  assert(most >= 1, `room for ${most} pages`);
  const taken: PageSet[] = [];
  let room = most;
  for (const lsn of [...commits.keys()].sort((a, b) => a - b)) {
    const pages = commits.get(lsn)!;
    if (pages.size > room) {
      if (taken.length === 0) taken.push(pages.slice(0, room));
      return { scattered: PageSet.unionAll(taken), left: true };
    }
    taken.push(pages);
    room -= pages.size;
  }
  return { scattered: PageSet.unionAll(taken), left: false };
}

/**
 * Which segments (ordinals, ascending) are rewritten together with `fresh` pages: those with too much that is dead, then those that are smaller than
 * what is written already, then, tier by tier, those of which there are enough.
 */
export function segmentsToRewrite(
  loads: readonly { readonly held: number; readonly live: number }[],
  fresh: number,
  limits: Pick<PlanLimits, "fullPages" | "deadFraction" | "fanout">,
): number[] {
  const chosen = new Set<number>();
  let writing = fresh;
  const choose = (i: number): void => {
    chosen.add(i);
    writing += loads[i]!.live;
  };
  loads.forEach(({ held, live }, i) => {
    if (held - live > limits.deadFraction * held) choose(i);
  });
  // Two that are less than half full fit into one.
  const small = loads
    .map((_, i) => i)
    .filter((i) => !chosen.has(i) && loads[i]!.live < limits.fullPages / 2)
    .sort((a, b) => loads[a]!.live - loads[b]!.live);
  const tiers = new Map<number, number[]>();
  for (const i of small) {
    const tier = tierOf(loads[i]!.live, limits.fanout);
    tiers.set(tier, [...(tiers.get(tier) ?? []), i]);
  }
  for (const [tier, members] of [...tiers].sort(([a], [b]) => a - b)) {
    const written = writing === 0 ? -1 : tierOf(Math.min(writing, limits.fullPages), limits.fanout);
    const enough = members.length + (written === tier ? 1 : 0) >= limits.fanout;
    if (tier < written || enough) for (const i of members) choose(i);
  }
  return [...chosen].sort((a, b) => a - b);
}

/** A segment as all states that are kept together read it. */
export interface KeptSegment {
  readonly id: SegmentId;
  readonly held: number;
  /** Of these, pages that some state reads here. */
  readonly live: number;
  /** As stored. */
  readonly bytes: number;
  /** The newest state that reads from it: when that one goes, so does what no newer one reads. */
  readonly reader: Lsn;
}

/** A checkpoint of a kept state: it is written anew when a segment that it names is. */
export interface NamingCheckpoint {
  readonly bytes: number;
  readonly names: ReadonlySet<SegmentId>;
}

/** What a segment less is worth: it takes a request where another would have brought the same pages along. */
const REQUEST_BYTES = 65_536;

/**
 * Which segments of kept states are rewritten: by the same rules as those of one state, apart by their newest reader, as nothing but a reader's own pages goes
 * into one segment. None where that frees less than the checkpoints take that name them.
 */
export function keptSegmentsToRewrite(
  segments: readonly KeptSegment[],
  checkpoints: readonly NamingCheckpoint[],
  limits: Pick<PlanLimits, "fullPages" | "deadFraction" | "fanout">,
): ReadonlySet<SegmentId> {
  const byReader = new Map<Lsn, KeptSegment[]>();
  for (const segment of segments) {
    const group = byReader.get(segment.reader);
    if (group === undefined) byReader.set(segment.reader, [segment]);
    else group.push(segment);
  }
  const chosen = new Set<SegmentId>();
  let freed = 0;
  for (const group of byReader.values()) {
    const some = segmentsToRewrite(group, 0, limits).map((i) => group[i]!);
    const pages = some.reduce((sum, { live }) => sum + live, 0);
    freed += (some.length - Math.ceil(pages / limits.fullPages)) * REQUEST_BYTES;
    for (const { id, bytes, held, live } of some) {
      chosen.add(id);
      freed += (bytes * (held - live)) / held;
    }
  }
  const rewritten = checkpoints.filter(({ names }) => [...chosen].some((id) => names.has(id)));
  const cost = rewritten.reduce((sum, { bytes }) => sum + bytes, 0);
  return freed > cost ? chosen : new Set();
}

function tierOf(pages: number, fanout: number): number {
  let tier = 0;
  for (let size = fanout; size <= pages; size *= fanout) tier++;
  return tier;
}
