/**
 * Keeps what lies below the floor compact: a segment serves several kept states, and what none of them reads any more is dead. Segments that are mostly dead,
 * or small and many, are rewritten, and the checkpoints that name them are written anew. The newest state comes first: what an older one reads last gets
 * segments of its own, which go with it whole.
 */
import type { Hash, Lsn, SegmentId } from "../../base/brand.ts";
import { throwIfAborted } from "../../base/errors.ts";
import { encodeCheckpoint, segmentPages } from "../../format/checkpoint-codec.ts";
import type { Checkpoint, FloorCheckpoint, PlacedSegment } from "../../format/model.ts";
import { PageSet } from "../../format/page-set.ts";
import { stateOfCheckpoint } from "../../replicate/build-state.ts";
import { placedKey } from "../../replicate/commit-lookup.ts";
import type { ReplicaContext } from "../../replicate/context.ts";
import { fetchCheckpoint } from "../../replicate/floor.ts";
import type { LoadedCheckpoint } from "../../volume/loaded-checkpoint.ts";
import { storeCheckpoint } from "./checkpoint.ts";
import { planLimits } from "./compact.ts";
import { deleteGarbage } from "./compacted-writer.ts";
import type { MoveSettings } from "./compaction-options.ts";
import { type KeptSegment, keptSegmentsToRewrite, type NamingCheckpoint } from "./compaction-plan.ts";
import { movePages } from "./move-pages.ts";
import { Pace } from "./pace.ts";
import { Placement } from "./placement.ts";

export interface RewriteOptions extends MoveSettings {
  /** Of the newest floor, under which the next is prepared; 0 where there is none. */
  readonly number: number;
}

export interface RewrittenKept {
  /** What the next floor is to name: as given, but for those that were written anew. */
  readonly checkpoints: readonly FloorCheckpoint[];
  readonly bytesWritten: number;
}

/**
 * Nothing is registered here, and nothing deleted.
 * @param kept what the next floor is to name, LSNs rising: named by the floor that holds, or made under it
 */
export async function rewriteKept(
  context: ReplicaContext,
  kept: readonly FloorCheckpoint[],
  options: RewriteOptions,
): Promise<RewrittenKept> {
  const unchanged = { checkpoints: kept, bytesWritten: 0 };
  const survey = await surveyOf(context, kept, options.signal);
  if (survey === undefined) return unchanged;
  const doomed = keptSegmentsToRewrite(survey.segments, survey.checkpoints, planLimits(context));
  return doomed.size === 0 ? unchanged : new Rewriting(context, doomed, options).run(kept);
}

interface Survey {
  readonly segments: readonly KeptSegment[];
  readonly checkpoints: readonly NamingCheckpoint[];
}

/** What is read of every segment. Undefined where a checkpoint is missing: what it names nobody knows then, and whoever sweeps says so. */
async function surveyOf(
  context: ReplicaContext,
  kept: readonly FloorCheckpoint[],
  signal: AbortSignal | undefined,
): Promise<Survey | undefined> {
  const { directory, manifest } = context.replica;
  const read = new Map<SegmentId, { segment: PlacedSegment; live: PageSet; reader: Lsn }>();
  const add = (segment: PlacedSegment, pages: PageSet, reader: Lsn): void => {
    if (segment.volume !== manifest.volume) return;
    const known = read.get(segment.id);
    if (known === undefined) read.set(segment.id, { segment, live: pages, reader });
    else known.live = known.live.union(pages);
  };
  const checkpoints: NamingCheckpoint[] = [];
  let newer: Checkpoint | undefined;
  for await (const { loaded, lsn } of newestFirst(context, kept, signal)) {
    if (loaded === undefined) return undefined;
    const { checkpoint } = loaded;
    const placement = placementBelow(context, loaded, newer);
    for (const segment of placement.segments()) add(segment, segment.pages, lsn);
    // Those of which a newer state reads the same pages elsewhere.
    for (const segment of checkpoint.segments) add(segment, PageSet.empty, lsn);
    const names = new Set(checkpoint.segments.map(({ id }) => id));
    checkpoints.push({ bytes: checkpoint.length, names });
    newer = placement.checkpoint(directory, checkpoint.header, checkpoint.madeUnder);
  }
  const segments = [...read].map(([id, { segment, live, reader }]) => ({
    ...{ id, reader, held: segmentPages(segment), live: live.size, bytes: segment.ref.length },
  }));
  return { segments, checkpoints };
}

async function* newestFirst(
  context: ReplicaContext,
  kept: readonly FloorCheckpoint[],
  signal: AbortSignal | undefined,
): AsyncGenerator<FloorCheckpoint & { readonly loaded: LoadedCheckpoint | undefined }> {
  const { volume } = context.replica.manifest;
  for (const named of [...kept].reverse()) {
    throwIfAborted(signal, `looking at what is kept of volume ${volume}`);
    yield { ...named, loaded: await fetchCheckpoint(context, { volume, ...named }, { signal }) };
  }
}

/** Where the pages of a kept state lie, as far as it shares them, where the next newer one has them. */
function placementBelow(
  { replica }: ReplicaContext,
  loaded: LoadedCheckpoint,
  newer: Checkpoint | undefined,
): Placement {
  const sources = newer === undefined ? [loaded.checkpoint] : [newer, loaded.checkpoint];
  return new Placement(replica.directory, stateOfCheckpoint(loaded).state, sources);
}

class Rewriting {
  readonly #context: ReplicaContext;
  readonly #doomed: ReadonlySet<SegmentId>;
  readonly #options: RewriteOptions;
  readonly #pace: Pace;
  readonly #segments: string[] = [];
  #bytesWritten = 0;

  constructor(context: ReplicaContext, doomed: ReadonlySet<SegmentId>, options: RewriteOptions) {
    this.#context = context;
    this.#doomed = doomed;
    this.#options = options;
    this.#pace = new Pace(context.runtime, options.bytesPerSecond, options.signal);
  }

  async run(kept: readonly FloorCheckpoint[]): Promise<RewrittenKept> {
    const checkpoints: FloorCheckpoint[] = [];
    let newer: Checkpoint | undefined;
    try {
      for await (const { loaded, ...named } of newestFirst(this.#context, kept, this.#options.signal)) {
        const { lsn, time } = named;
        if (loaded?.checkpoint.segments.some(({ id }) => this.#doomed.has(id))) {
          const written = await this.#rewrite(loaded, newer);
          newer = written.checkpoint;
          checkpoints.unshift({ lsn, time, hash: written.hash });
        } else {
          newer = loaded?.checkpoint ?? newer;
          checkpoints.unshift(named);
        }
      }
    } catch (error) {
      await deleteGarbage(this.#context, this.#segments);
      throw error;
    }
    return { checkpoints, bytesWritten: this.#bytesWritten };
  }

  /** Moves what the state reads from doomed segments, unless a newer one has moved it already. */
  async #rewrite(
    loaded: LoadedCheckpoint,
    newer: Checkpoint | undefined,
  ): Promise<{ readonly checkpoint: Checkpoint; readonly hash: Hash }> {
    const { replica, codecs } = this.#context;
    const { number, classify, signal, onStep, onPages } = this.#options;
    const placement = placementBelow(this.#context, loaded, newer);
    const doomed = placement.segments().filter(({ id }) => this.#doomed.has(id));
    const sorted = PageSet.unionAll(doomed.map(({ pages }) => pages));
    if (!sorted.isEmpty) {
      const onSegment = () => onStep?.("segment-written");
      const settings = { number, classify, pace: this.#pace, signal, onSegment };
      const at = { ...settings, onPages: (pages: number) => onPages?.(pages) };
      const moved = await movePages(this.#context, placement, { scattered: PageSet.empty, sorted }, at);
      this.#segments.push(...moved.segments.map(placedKey));
      placement.move(moved.segments);
      this.#bytesWritten += moved.bytesWritten;
    }
    const checkpoint = placement.checkpoint(replica.directory, loaded.checkpoint.header, number);
    const encoded = encodeCheckpoint(checkpoint, codecs.hash);
    const stored = await storeCheckpoint(this.#context, checkpoint, encoded, { signal });
    this.#bytesWritten += encoded.bytes.length;
    // Until the floor names it the other is as good: both are known.
    replica.directory.learnCheckpoint(stored);
    await onStep?.("checkpoint-written");
    return { checkpoint, hash: encoded.hash };
  }
}
