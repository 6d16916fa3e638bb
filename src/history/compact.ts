/**
 * Compaction of a volume's data: many small segments become few large ones, in steps. A step writes segments, then a checkpoint that places pages in them,
 * and counts from the moment that the next floor names it; whoever creates that floor first wins, and what the other wrote is garbage. Commits, pushes and
 * readers go on meanwhile: nothing that they use is changed or deleted here. What a step moves is decided in `compaction-plan.ts`.
 */
import type { Lsn, SegmentId, TimeMs } from "../base/brand.ts";
import { PagefoldError, throwIfAborted } from "../base/errors.ts";
import { encodeCheckpoint, segmentPages } from "../format/checkpoint-codec.ts";
import { encodeFloor } from "../format/floor-codec.ts";
import { checkpointKey } from "../format/keys.ts";
import type { Floor } from "../format/model.ts";
import { PageSet } from "../format/page-set.ts";
import { appendToSeries } from "../remote/series.ts";
import { assertWritable } from "../remote/writable.ts";
import { placedKey } from "../replicate/commit-lookup.ts";
import { confirmBase } from "../replicate/confirm.ts";
import type { ReplicaContext } from "../replicate/context.ts";
import { checkpointUpTo, floorSeries } from "../replicate/floor.ts";
import { stateOf } from "../replicate/past.ts";
import type { RemoteState } from "../volume/remote-state.ts";
import { type CheckpointName, commitHeaderOf, storeCheckpoint } from "./checkpoint.ts";
import { anchor } from "./checkpoint-after-push.ts";
import { deleteGarbage, framePagesOf, fullSegmentPages } from "./compacted-writer.ts";
import type { CompactionPoint, CompactionResult, CompactOptions } from "./compaction-options.ts";
import { type PlanInput, type PlanLimits, pagesToMove, planStep, type StepPlan } from "./compaction-plan.ts";
import { adoptSegments, type FreshPages, placementUnder, withoutPages } from "./compaction-source.ts";
import { movePages } from "./move-pages.ts";
import { Pace } from "./pace.ts";
import type { Placement } from "./placement.ts";

const STEP_BYTES = 2 ** 30;
/** Pages of small commits that are held in memory. */
const HELD_BYTES = 64 * 2 ** 20;
/** How often another may create the floor first. */
const MOST_LOST = 16;
const DEAD_FRACTION = 3 / 8;
const FANOUT = 8;

/** What this volume is compacted by, unless the caller says otherwise. */
export function planLimits(context: ReplicaContext, stepBytes = STEP_BYTES): PlanLimits {
  const { pageSize } = context.replica.manifest;
  return {
    fullPages: fullSegmentPages(pageSize, framePagesOf(context)),
    deadFraction: DEAD_FRACTION,
    fanout: FANOUT,
    stepPages: Math.max(1, Math.floor(stepBytes / pageSize)),
    heldPages: Math.max(1, Math.floor(HELD_BYTES / pageSize)),
  };
}

/**
 * Puts the pages of a state in order, and answers when the last step is registered. Running it again goes on where it was cut off; what a step that was
 * cut off had written is garbage, which a collection finds.
 * @throws `conflict` where the retention does not keep the state any more, or others keep being faster; `diverged` where the store lost the history that
 * the replica stands on
 */
export async function compactVolume(
  context: ReplicaContext,
  options: CompactOptions = {},
): Promise<CompactionResult> {
  await assertWritable(context.remote, context.runtime);
  const signal = options.signal === undefined ? {} : { signal: options.signal };
  const { base } = context.replica.state;
  const state = options.to === undefined ? base : await stateOf(context, options.to, signal);
  return new Compaction(context, state, options).run();
}

/** Where a compaction stands between two steps. */
interface Standing {
  readonly floor: Floor | undefined;
  readonly placement: Placement;
  fresh: FreshPages;
  /** Some segments of commits got places that no checkpoint names so far. */
  adopted: boolean;
}

class Compaction {
  readonly #context: ReplicaContext;
  readonly #state: RemoteState;
  readonly #options: CompactOptions;
  readonly #limits: PlanLimits;
  readonly #pace: Pace;
  /** Written in this run, to stay. */
  readonly #settled = new Set<SegmentId>();
  #header: Uint8Array | undefined;
  #checkpoint: CheckpointName | undefined;
  #steps = 0;
  #pagesMoved = 0;
  #pagesTotal = 0;
  #bytesRead = 0;
  #freshBytes = 0;
  #bytesWritten = 0;

  constructor(context: ReplicaContext, state: RemoteState, options: CompactOptions) {
    this.#context = context;
    this.#state = state;
    this.#options = options;
    this.#limits = planLimits(context, options.stepBytes);
    this.#pace = new Pace(context.runtime, options.bytesPerSecond, options.signal);
  }

  async run(): Promise<CompactionResult> {
    if (this.#state.lsn === 0) return this.#result(undefined, undefined);
    let standing = await this.#stand();
    const before = standing.placement.figures();
    if (standing.floor === undefined || this.#state.lsn >= standing.floor.lsn)
      await confirmBase(this.#context, signalOf(this.#options));
    standing = await this.#adopt(standing);
    for (let lost = 0; ; ) {
      throwIfAborted(this.#options.signal, "a compaction");
      const input = this.#input(standing);
      this.#pagesTotal = Math.max(this.#pagesTotal, this.#pagesMoved + pagesToMove(input, this.#limits));
      const plan = planStep(input, this.#limits);
      if (plan === undefined && !this.#mustRegister(standing)) break;
      const floor = await this.#step(standing, plan ?? NOTHING);
      if (floor !== undefined) {
        standing = { ...standing, floor, adopted: false };
        if (plan === undefined) break;
      } else if (++lost === MOST_LOST) {
        throw this.#outrun();
      } else {
        standing = await this.#adopt(await this.#stand());
      }
    }
    this.#checkpoint ??= checkpointUpTo(standing.floor, this.#state.lsn);
    return this.#result(before, standing.placement.figures());
  }

  async #stand(): Promise<Standing> {
    const found = await placementUnder(this.#context, this.#state, this.#options);
    return { ...found, fresh: { scattered: new Map(), sorted: PageSet.empty }, adopted: false };
  }

  async #adopt(standing: Standing): Promise<Standing> {
    const { floor, placement } = standing;
    const { fresh, adoptedBytes } = await adoptSegments(this.#context, placement, floor, this.#options);
    this.#freshBytes += adoptedBytes;
    return { ...standing, fresh, adopted: adoptedBytes > 0 };
  }

  #input({ placement, fresh }: Standing): PlanInput {
    const segments = placement.segments().filter(({ id }) => !this.#settled.has(id));
    return {
      ...fresh,
      segments: segments.map((segment) => ({ held: segmentPages(segment), live: segment.pages })),
      all: this.#options.all === true,
    };
  }

  /** Whether a checkpoint is due though no page moves. */
  #mustRegister({ floor, adopted }: Standing): boolean {
    if (adopted) return true;
    const named = floor?.checkpoints.some(({ lsn }) => lsn === this.#state.lsn) === true;
    return this.#options.complete === true && !named;
  }

  /** Answers the floor that counts now, or undefined where another was faster. */
  async #step(standing: Standing, plan: StepPlan): Promise<Floor | undefined> {
    const { placement, floor } = standing;
    await this.#at("planned");
    const done = this.#pagesMoved;
    const moved = await movePages(this.#context, placement, plan, {
      number: floor?.n ?? 0,
      classify: this.#options.classify,
      pace: this.#pace,
      signal: this.#options.signal,
      onSegment: () => this.#at("segment-written"),
      onPages: (pages) => {
        this.#pagesMoved += pages;
        this.#options.onProgress?.(this.#pagesMoved, Math.max(this.#pagesMoved, this.#pagesTotal));
      },
    });
    this.#bytesRead += moved.bytesRead;
    this.#bytesWritten += moved.bytesWritten;
    placement.knowZeroed(moved.zeroed);
    placement.move(moved.segments);
    standing.fresh = withoutPages(standing.fresh, plan.scattered.union(plan.sorted));
    const next = await this.#register(placement, floor, moved.segments.map(placedKey));
    if (next === undefined) {
      this.#pagesMoved = done;
      return undefined;
    }
    this.#steps++;
    this.#freshBytes += moved.scatteredBytes;
    if (plan.settled) for (const { id } of moved.segments) this.#settled.add(id);
    await this.#at("registered");
    return next;
  }

  /** @param keys of the segments that were written for it */
  async #register(
    placement: Placement,
    floor: Floor | undefined,
    keys: readonly string[],
  ): Promise<Floor | undefined> {
    const { replica, codecs, remote, runtime } = this.#context;
    const { directory } = replica;
    const { volume, lsn, time } = { ...this.#state, volume: placement.volume };
    let garbage = keys;
    try {
      this.#header ??= await commitHeaderOf(this.#context, this.#state, this.#options);
      const encoded = encodeCheckpoint(placement.checkpoint(directory, this.#header), codecs.hash);
      const { hash, bytes } = encoded;
      // One that names no segment of its own may be another's, too, who may have registered it.
      if (keys.length > 0) garbage = [...keys, checkpointKey(volume, lsn, hash)];
      const checkpoint = await storeCheckpoint(this.#context, lsn, encoded, this.#options);
      this.#bytesWritten += bytes.length;
      await this.#at("checkpoint-written");
      const next = floorWith(volume, floor, { lsn, time, hash }, runtime.now());
      const value = { n: next.n, bytes: encodeFloor(next, codecs.hash) };
      // From here on it may be there, whatever the answer is.
      const unknown = garbage;
      garbage = [];
      if (await appendToSeries(remote, floorSeries(volume), value, signalOf(this.#options))) {
        const replaced = floor?.checkpoints.find((each) => each.lsn === lsn && each.hash !== hash);
        if (replaced !== undefined) directory.dropCheckpoint(replaced.hash);
        directory.learnCheckpoint(checkpoint);
        directory.learnFloor(next);
        this.#checkpoint = { lsn, hash };
        anchor(this.#context, this.#checkpoint);
        return next;
      }
      await deleteGarbage(this.#context, unknown);
      return undefined;
    } catch (error) {
      await deleteGarbage(this.#context, garbage);
      throw error;
    }
  }

  async #at(point: CompactionPoint): Promise<void> {
    await this.#options.onStep?.(point);
  }

  #outrun(): PagefoldError {
    const { volume } = this.#context.replica.manifest;
    return new PagefoldError(
      "conflict",
      `others moved the floor of volume ${volume} ${MOST_LOST} times while a step of this compaction was under way; ${this.#steps} steps are done: run it again when they have ended, or with smaller steps`,
      { details: { volume, lsn: this.#state.lsn }, retryable: true },
    );
  }

  #result(before: Figures | undefined, after: Figures | undefined): CompactionResult {
    const fresh = this.#freshBytes;
    return {
      lsn: this.#state.lsn,
      steps: this.#steps,
      checkpoint:
        this.#checkpoint === undefined
          ? undefined
          : { lsn: this.#checkpoint.lsn, hash: this.#checkpoint.hash },
      pagesMoved: this.#pagesMoved,
      bytesRead: this.#bytesRead,
      freshBytes: fresh,
      bytesWritten: this.#bytesWritten,
      segmentsBefore: before?.segments ?? 0,
      segmentsAfter: after?.segments ?? 0,
      deadBytesBefore: before?.deadBytes ?? 0,
      deadBytesAfter: after?.deadBytes ?? 0,
      writeAmplification: fresh === 0 ? undefined : (fresh + this.#bytesWritten) / fresh,
    };
  }
}

type Figures = ReturnType<Placement["figures"]>;

const NOTHING: StepPlan = { scattered: PageSet.empty, sorted: PageSet.empty, settled: true };

function signalOf({ signal }: CompactOptions): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

/** The next floor: as the one before, with one checkpoint more, or another of the same LSN. */
export function floorWith(
  volume: Floor["volume"],
  floor: Floor | undefined,
  checkpoint: Floor["checkpoints"][number],
  now: TimeMs,
): Floor {
  const others = (floor?.checkpoints ?? []).filter(({ lsn }) => lsn !== checkpoint.lsn);
  return {
    volume,
    n: (floor?.n ?? 0) + 1,
    lsn: floor?.lsn ?? (0 as Lsn),
    time: Math.max(now, floor?.time ?? 0) as TimeMs,
    checkpoints: [...others, checkpoint].sort((a, b) => a.lsn - b.lsn),
  };
}
